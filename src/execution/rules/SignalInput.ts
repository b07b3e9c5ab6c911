/** Signals as an input of an execution: what is stored, what was stored before, and what is refused (SPEC C16). */
import { Result, Schema } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import * as CanonicalJson from "../../wire/CanonicalJson.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import { line } from "../../wire/OneLine.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import { evolve } from "./SagaEvolution.ts"
import * as SagaSignals from "./SagaSignals.ts"
import type { SagaState } from "./SagaState.ts"

/**
 * A signal with this id was received before, and says something else. Without an `id` of its own a signal has its name and key
 * as id: give each of several signals of one name an id. The first signal stands.
 */
export class SagaSignalConflict extends Schema.TaggedError<SagaSignalConflict>()("SagaSignalConflict", {
  uuid: Schema.String,
  signal: Schema.String,
  id: Schema.String
}) {
  override get message(): string {
    return line`Execution ${this.uuid} has received another signal with the id ${this.id}`
  }
}

/**
 * The execution takes no such signal, and has stored nothing. `ended`: it is finished or errored. `going-back`: it is rolled
 * back. `unknown-signal`: no step of its saga waits for a signal of this name. `payload`: the payload does not fit the schema
 * that the saga has for it.
 */
export class SagaSignalRefused extends Schema.TaggedError<SagaSignalRefused>()("SagaSignalRefused", {
  uuid: Schema.String,
  signal: Schema.String,
  reason: Schema.Literals(["ended", "going-back", "unknown-signal", "payload"])
}) {
  override get message(): string {
    return line`Execution ${this.uuid} takes no signal ${this.signal}: ${reasons[this.reason]}`
  }
}

const reasons = {
  ended: "it has ended",
  "going-back": "it is rolled back",
  "unknown-signal": "its saga waits for no such signal",
  payload: "its saga has another schema for the payload"
} as const

/**
 * Too many signals of one name and key wait for a step that takes them. Send the signal again when the execution has taken
 * some of them.
 */
export class SagaSignalsFull extends Schema.TaggedError<SagaSignalsFull>()("SagaSignalsFull", {
  uuid: Schema.String,
  signal: Schema.String,
  key: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return line`Execution ${this.uuid} has ${SagaSignals.maxUnused} signals ${this.signal} that no step has taken`
  }
}

export type SignalRefusal = SagaSignalConflict | SagaSignalRefused | SagaSignalsFull

interface Signal {
  readonly signal: string
  readonly key?: string
  readonly id: string
  readonly content?: Json
  readonly actor?: string
  readonly accepted?: true
}

/** The signal is stored, also if nobody waits for it yet. The same signal again changes nothing, whatever happened since. */
export const signal = (
  self: SagaState,
  { accepted, actor, content, id, key, signal }: Signal,
  /** Without its definition the name and the payload are not judged: the store refuses a name (SPEC C16). */
  { definition, now }: { readonly definition: Definition | undefined; readonly now: number }
): Result.Result<ReadonlyArray<SagaEvent>, SignalRefusal> => {
  const { signals, uuid } = self
  const fact: SagaSignals.Received = {
    _tag: "SignalReceived",
    signal,
    id,
    ...(key !== undefined && { key }),
    ...(content !== undefined && { content }),
    ...(actor !== undefined && { actor }),
    at: now
  }
  const before = SagaSignals.find(signals, id)
  if (before !== undefined) {
    return says(before) === says(fact) ? Result.succeed([]) : Result.fail(new SagaSignalConflict({ uuid, signal, id }))
  }
  const reason = evolve(self, fact) === self ? whyNot(self) : misfit(definition, signal, content)
  // What was accepted is kept also where this program cannot read it: another one can (SPEC C10, I23).
  if (reason !== undefined && !(reason === "payload" && accepted === true))
    return Result.fail(new SagaSignalRefused({ uuid, signal, reason }))
  return SagaSignals.isFull(signals, fact)
    ? Result.fail(new SagaSignalsFull({ uuid, signal, ...(key !== undefined && { key }) }))
    : Result.succeed([fact])
}

/** All that two signals of one id must have in common to be the same. */
const says = ({ content, key, signal }: SagaSignals.Received): string =>
  CanonicalJson.stringify({ signal, ...(key !== undefined && { key }), ...(content !== undefined && { content }) })

const whyNot = ({ status }: SagaState): SagaSignalRefused["reason"] =>
  status === "finished" || status === "errored" ? "ended" : "going-back"

const misfit = (
  definition: Definition | undefined,
  name: string,
  content: Json | undefined
): SagaSignalRefused["reason"] | undefined => {
  if (definition === undefined) return undefined
  const known = SagaPath.signals(definition).get(name)
  if (known === undefined) return "unknown-signal"
  return JsonCodec.isCodecIssue(JsonCodec.decode(known.payload, content)) ? "payload" : undefined
}
