/**
 * The questions of `effect-saga doctor` to a broker: whether it is reached, takes the messages of the service, and has a listener for
 * each service that the sagas ask. The question is an empty message under the name of no command, which a participant of any release
 * drops: nothing runs, and nothing is stored.
 */
import { randomUUID } from "node:crypto"
import { Deferred, Effect } from "effect"
import type { AskedServices, Check } from "../../ports/Check.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import { line } from "../../wire/OneLine.ts"
import * as MqttConfig from "./MqttConfig.ts"
import * as Connection from "./MqttConnection.ts"

/** No name of a command begins so. */
const question = "~doctor"

const patience = 5_000

/**
 * The checks of `effect-saga doctor` on a broker: give it to `effect-saga.config.ts` as `broker`, with the options of
 * `MqttBroker.layer`. It connects under a name of its own, and takes no messages.
 *
 * @example
 * ```ts
 * export default config({ sagas: [PlaceOrder], service: "orders", broker: MqttBroker.checks({ url: "mqtt://localhost" }) })
 * ```
 */
export const checks =
  (options: MqttConfig.MqttOptions) =>
  (asked: AskedServices): Effect.Effect<ReadonlyArray<Check>> =>
    Effect.scoped(looked(options, asked)).pipe(
      Effect.catch((error: InvalidSetting | Connection.MqttConnectionLost) =>
        Effect.succeed([failed("broker", error._tag === "InvalidSetting" ? error.message : error.reason)])
      )
    )

const failed = (what: string, found: string): Check => ({ what, state: "failed", found })

const looked = Effect.fnUntraced(function* (
  { clientId: _, ...options }: MqttConfig.MqttOptions,
  { service, targets }: AskedServices
) {
  const settings = yield* MqttConfig.make(options, `doctor-${randomUUID()}`)
  const { host, namespace, port, username, version } = settings
  const close = yield* Connection.closer
  const connection = yield* Connection.open(settings, { clientId: settings.clientId, close })
  const reached: Check = {
    what: "broker",
    state: "ok",
    found: line`${host}:${port}, MQTT ${version === 5 ? "5" : "3.1.1"}, as ${username ?? "nobody"}`
  }
  if (version !== 5) return [reached, ...targets.map(untold)]
  const answers = new Map<number, Deferred.Deferred<Check>>()
  connection.onTaken((id, refusal, isUnheard) => {
    const [answer, target] = [answers.get(id), targets[id - 1]]
    if (answer !== undefined && target !== undefined)
      Deferred.doneUnsafe(answer, Effect.succeed(told(target, refusal, isUnheard)))
  })
  const prefix = namespace === undefined ? "" : `${namespace}/`
  const found = yield* Effect.forEach(
    targets,
    (target, i) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<Check>()
        answers.set(i + 1, answer)
        connection.publish(`${prefix}saga/v1/${target}/command/${service}/${question}`, "", i + 1)
        return Effect.timeoutOrElse(Effect.raceFirst(Deferred.await(answer), connection.lost), {
          duration: patience,
          orElse: () => Effect.succeed(failed(`service ${target}`, "the broker does not answer"))
        })
      }),
    { concurrency: 16 }
  )
  return [reached, ...found]
})

const told = (target: string, refusal: string | undefined, isUnheard: boolean): Check => {
  const what = `service ${target}`
  if (refusal !== undefined) return failed(what, line`the broker takes no commands for it: ${refusal}`)
  return isUnheard ? failed(what, "nobody listens") : { what, state: "ok", found: "listens" }
}

/** A broker with MQTT 3.1.1 tells neither. */
const untold = (target: string): Check => ({
  what: `service ${target}`,
  state: "skipped",
  found: "MQTT 3.1.1 does not tell who listens"
})
