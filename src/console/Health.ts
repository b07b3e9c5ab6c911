/**
 * Routes for the probes of a platform, on the HTTP router of the application. What they say is known in the process: no probe
 * asks the database, so that a database that is away is not asked by every probe of every process.
 */
import { Clock, Effect, Layer, Option } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { inWords, refusalIn } from "../ports/DatabaseCode.ts"
import { Inspector } from "../ports/Inspector.ts"
import * as Setting from "../ports/Setting.ts"
import { Vitals } from "../ports/Vitals.ts"
import { inWordsOf, lacking } from "./Databases.ts"

export interface HealthOptions {
  /** Where the routes are, as `/health`: then they are `/health/live` and so on. Default: at the root. */
  readonly path?: `/${string}`
}

const answer = (status: 200 | 503, body: unknown) => HttpServerResponse.jsonUnsafe(body, { status })

const passed = (isPassed: boolean, more: Readonly<Record<string, unknown>>) =>
  answer(isPassed ? 200 : 503, { status: isPassed ? "pass" : "fail", ...more })

const live = Effect.gen(function* () {
  const vitals = yield* Vitals
  const now = yield* Clock.currentTimeMillis
  const loops = Array.from(vitals.loops, (loop) => ({
    loop: loop.name,
    beat: Math.max(0, now - loop.beatAt) / 1_000,
    broken: loop.isBroken(now)
  }))
  return passed(vitals.isLive(now), { loops })
})

const ready = Effect.map(Vitals, (vitals) => {
  const missing = vitals.missing()
  return passed(missing.length === 0, { parts: Array.from(vitals.parts, ({ name }) => name), missing })
})

/** How long an execution may be due before it counts as overdue. */
const overdue = "1 minute"

const sagas = Effect.gen(function* () {
  const inspector = yield* Effect.serviceOption(Inspector)
  if (Option.isNone(inspector)) return answer(200, { sagas: "unknown: this program has no Inspector" })
  const { count, overdue: late, parked, stalled } = inspector.value
  const groups = (all: ReadonlyArray<{ readonly count: number }>) => all.reduce((sum, { count }) => sum + count, 0)
  const seen = Effect.gen(function* () {
    const found = yield* Effect.all(
      { counts: count(), parked, stalled, late: late(overdue) },
      { concurrency: "unbounded" }
    )
    // Last: it names also the databases that have not answered these questions.
    return { ...found, ...(yield* lacking(inspector.value)) }
  })
  return yield* Effect.match(Effect.timeoutOption(seen, "2 seconds"), {
    onFailure: ({ cause, reason }) => {
      const refusal = refusalIn(cause)
      return answer(200, { sagas: reason, ...(refusal !== undefined && { why: inWords(refusal) }) })
    },
    onSuccess: Option.match({
      onNone: () => answer(200, { sagas: "unavailable" }),
      onSome: ({ counts, late, missing, parked, refusals, stalled }) =>
        answer(200, {
          sagas: counts.map(({ count, isMore, saga, state }) => ({ saga, status: state, count, isMore })),
          parked: groups(parked),
          stalled: groups(stalled),
          overdue: groups(late),
          ...(missing.length > 0 && { missing }),
          ...(Object.keys(refusals).length > 0 && { refused: inWordsOf(refusals) })
        })
    })
  })
})

/**
 * Adds the routes of health to the router of the application. They work in a program that runs sagas, in one that has
 * participants, and in one with both.
 *
 * - `/live`: 503 where a loop of the library dies each time that it begins, for a minute: restart the process.
 * - `/ready`: 503 where the process cannot do its work now: before it has started, while its storage has not answered for as
 *   long as its lease, while messages do not come, and from when on it stops. Send it no requests then; it mends by itself.
 * - `/sagas`: counts for people, always 200. With an `Inspector`. `missing` names databases that do not answer, where executions are
 *   spread over several: the counts are without them; `refused` says which of these refuse the role, and why.
 *
 * Executions that wait for a person never make a process unready: no other process could do more about them. Fails with
 * `InvalidSetting` for a path that is none, and for an option that there is not.
 *
 * @example
 * ```ts
 * const Routes = SagaHealth.layer({ path: "/health" })
 * const Server = HttpRouter.serve(Routes).pipe(Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })))
 * ```
 */
export const layer = (options: HealthOptions = {}): Layer.Layer<never, Setting.InvalidSetting, HttpRouter.HttpRouter> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { path = "/" } = yield* Setting.known("SagaHealth", options, { path: true })
      const prefix = yield* Setting.path("SagaHealth.path", path)
      return HttpRouter.addAll(
        [
          HttpRouter.route("GET", "/live", live),
          HttpRouter.route("GET", "/ready", ready),
          HttpRouter.route("GET", "/sagas", sagas)
        ],
        prefix === "" ? {} : { prefix }
      )
    })
  )
