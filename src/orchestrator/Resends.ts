/**
 * Executions that are due only because something is to be sent again (SPEC C8, C20). They cost what is read of them: no place,
 * no runner, no statement of their own. Their messages are sent, and all of them are given back together.
 */
import { type Clock, Effect, Result } from "effect"
import type { Moment } from "../execution/rules/Moment.ts"
import * as Decision from "../execution/rules/SagaDecision.ts"
import type { Sent } from "../execution/rules/StepTree.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Broker from "../ports/Broker.ts"
import * as DatabaseCode from "../ports/DatabaseCode.ts"
import type { Membership } from "../ports/SagaOwnership.ts"

/** An execution that has nothing to do until `wakeAt` but to send these messages again. */
export interface Resend {
  readonly execution: SagaExecution
  readonly messages: ReadonlyArray<Sent>
  /** Milliseconds since the epoch; `Infinity`: never. */
  readonly wakeAt: number
}

/** The messages to send again; undefined where there is anything else to do. */
export const resendOf = (
  execution: SagaExecution,
  /** `attemptSince`: of an execution that is looked at for the first time after an absence. */
  moment: Omit<Moment, "definition">
): Resend | undefined => {
  const { now, presentSince, since } = moment
  const { definition, state } = execution
  if (definition === undefined) return undefined
  const attemptSince = since < presentSince ? moment.attemptSince : Number.NEGATIVE_INFINITY
  // A decision that throws is met again by a runner: deaths are counted there (F13).
  const advanced = Result.try(() => Decision.advance(state, { ...moment, definition, attemptSince }))
  if (Result.isFailure(advanced)) return undefined
  const { decision, state: next } = advanced.success
  // A write is needed, the services of a transaction are asked, or a time has come by now.
  if (next !== state || decision.asking !== undefined || !(decision.wakeAt > now)) return undefined
  const messages: Array<Sent> = []
  for (const instruction of decision.instructions) {
    if (instruction._tag !== "Resend") return undefined
    messages.push(instruction.sent)
  }
  return { execution, messages, wakeAt: decision.wakeAt }
}

/** Messages that are handed to the broker at the same time. */
const concurrency = 16

export interface Resends {
  /**
   * Sends the messages, and gives the executions back until their next time. True: all of them. One that is not given back has
   * an input or was written since; the next claim brings it again.
   */
  readonly send: (resends: ReadonlyArray<Resend>) => Effect.Effect<boolean>
}

/** `limit`: how long a batch of messages may take to be handed over, in milliseconds. Whoever sends it renews the lease. */
export const make = (
  broker: Broker.Broker["Service"],
  { giveBack, isAlive }: Pick<Membership, "giveBack" | "isAlive">,
  limit: number
): Resends => {
  /** The reason why a message was not taken; undefined: it was. */
  const publish = ({ command, message }: Sent) =>
    Effect.match(Broker.publishAgain(broker, message, command), {
      onFailure: ({ reason }) => reason,
      onSuccess: () => undefined
    })
  const giveAllBack = (resends: ReadonlyArray<Resend>) =>
    Effect.forEach(resends, ({ execution: { revision, uuid }, wakeAt }) => giveBack({ uuid, revision, wakeAt }), {
      concurrency: "unbounded"
    }).pipe(
      Effect.map((given) => given.every(Boolean)),
      Effect.catch((error) => {
        const said = { count: resends.length, reason: error.reason, ...DatabaseCode.saidBy(error) }
        return Effect.as(Effect.logWarning("Executions could not be given back now", said), true)
      })
    )
  return {
    send: (all) =>
      Effect.suspend(() => {
        // What this instance has claimed may be another one's by now.
        const resends = all.filter(({ execution: { uuid } }) => isAlive(undefined, uuid))
        if (resends.length === 0) return Effect.succeed(true)
        const messages = resends.flatMap(({ messages }) => messages)
        const sent = Effect.timeoutOrElse(Effect.forEach(messages, publish, { concurrency }), {
          duration: limit,
          // The broker does not come back from one of them: none is waited for, and all are due again in their turn.
          orElse: () => Effect.succeed(messages.map(() => "unavailable" as const))
        })
        return Effect.andThen(Effect.flatMap(sent, warnOf), giveAllBack(resends))
      })
  }
}

/** Messages that were not sent are due again in their turn: one line says so for all of them. */
const warnOf = (outcomes: ReadonlyArray<Broker.BrokerError["reason"] | undefined>): Effect.Effect<void> => {
  const reasons = outcomes.filter((reason) => reason !== undefined)
  return reasons.length === 0
    ? Effect.void
    : Effect.logWarning("Saga messages could not be published now", { messages: reasons.length, reason: reasons[0] })
}

/** While runners are at work, resends take this part of the time: those come first (SPEC C13). */
const share = 0.1

/** A pause between two batches of resends, at most, in milliseconds. A claim also renews the lease. */
const longestRest = 1_000

/** The pause after a batch of resends that has begun at `begun`, in nanoseconds of the monotonic clock; in milliseconds. */
export const restAfter = (begun: bigint, clock: Clock.Clock): number =>
  Math.min(longestRest, (Number(clock.monotonicTimeNanosUnsafe() - begun) / 1_000_000) * (1 / share - 1))
