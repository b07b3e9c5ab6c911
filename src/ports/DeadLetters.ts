/**
 * Port: records of messages that could not be read or were not allowed, for people to look at. A record has the size and the
 * hash of a message, never its content (SPEC C12). Without a layer the last 1,000 records are kept in memory.
 */
import { Clock, Context, Effect, Schema } from "effect"
import { sha256OfText } from "../wire/CanonicalJson.ts"
import { json, line } from "../wire/OneLine.ts"
import { type Message, topic } from "./Broker.ts"
import { untilHandled } from "./Consumer.ts"
import * as DatabaseCode from "./DatabaseCode.ts"
import * as Metrics from "./Metrics.ts"

export const DeadLetter = Schema.Struct({
  receivedAt: Schema.Int,
  topic: Schema.String,
  /** The sender as the transport has authenticated it. */
  sender: Schema.String,
  /** Tag of the rule that the message breaks, such as `MessageMalformed`. */
  reason: Schema.String,
  /** Bytes of the body. */
  size: Schema.Int,
  sha256: Schema.String
})
export type DeadLetter = typeof DeadLetter.Type

/** The list could not be written or read. The message is not acknowledged, so the broker delivers it again. */
export class DeadLettersError extends Schema.TaggedError<DeadLettersError>()("DeadLettersError", {
  operation: Schema.Literals(["record", "list"]),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return line`The dead letters could not ${this.operation}`
  }

  override toJSON(): unknown {
    return json(this)
  }
}

export interface Service {
  readonly record: (letter: DeadLetter) => Effect.Effect<void, DeadLettersError>
  /** Newest first. Default: the last 100. */
  readonly list: (options?: { readonly limit?: number }) => Effect.Effect<ReadonlyArray<DeadLetter>, DeadLettersError>
}

/** In the memory of this process: the last `keep` records. */
export const makeMemory = (keep = 1_000): Service => {
  const letters: Array<DeadLetter> = []
  return {
    record: (letter) =>
      Effect.sync(() => {
        letters.push(letter)
        if (letters.length > keep) letters.shift()
      }),
    list: ({ limit = 100 } = {}) => Effect.sync(() => letters.toReversed().slice(0, Math.max(0, limit)))
  }
}

export const DeadLetters = Context.Reference<Service>("effect-saga/DeadLetters", { defaultValue: () => makeMemory() })

/** A refused message. The body is bytes where it is no text. */
export type Refused = Pick<Message, "address"> & { readonly body: string | Uint8Array }

/** Records a refused message. */
export const record = ({ address, body }: Refused, reason: string): Effect.Effect<void, DeadLettersError> =>
  Effect.flatMap(Clock.currentTimeMillis, (receivedAt) =>
    Effect.flatMap(DeadLetters, (letters) =>
      letters.record({
        receivedAt,
        topic: topic(address),
        sender: address.from,
        reason,
        size: Buffer.byteLength(body),
        sha256: sha256OfText(body)
      })
    )
  )

/** Records a message until the list has taken it, by the schedule of `untilHandled`: without an end, so it never fails. */
export const keep = (refused: Refused, reason: string): Effect.Effect<void> =>
  Effect.andThen(
    Effect.orDie(Effect.retry(Effect.tapError(record(refused, reason), DatabaseCode.warnLasting), untilHandled)),
    Effect.withFiber(({ context }) => Effect.sync(() => Metrics.deadLetters.update(context, 1, reason)))
  )
