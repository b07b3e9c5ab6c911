/**
 * The order business of `bench/business.ts`, with the library and by hand: each of its processes is killed while orders are under
 * way, and the books add up. What is compared must do the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Business from "../../bench/business/business.ts"
import { services } from "../../bench/business/shop.ts"
import * as Mosquitto from "../fixtures/mosquitto.ts"

const isPossible = Mosquitto.binary !== undefined && process.env.SAGA_TEST_PG_URL !== undefined

const perKill = 60

describe.runIf(isPossible)("the order business", () => {
  for (const by of ["library", "hand"] as const) {
    for (const twoPhase of [false, true]) {
      it.live(
        `${by === "hand" ? "by hand" : "with the library"}${twoPhase ? " in two phases" : ""} survives a kill of each service`,
        () =>
          Effect.gen(function* () {
            const { url } = yield* Mosquitto.started({ lines: ["set_tcp_nodelay true"] })
            const business = yield* Business.begin({ by, twoPhase }, url)
            for (const [i, service] of services.entries()) {
              const orders = Business.ordersFrom(i * perKill, perKill)
              const { parked } = yield* business.suffer(service, orders, 150)
              assert.strictEqual(parked, 0)
            }
            assert.deepStrictEqual(yield* business.audit(Business.ordersFrom(0, perKill * services.length)), [])
          }).pipe(Effect.scoped),
        240_000
      )
    }
  }
})
