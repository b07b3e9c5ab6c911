/** The door of the manager for signals: what the caller says becomes an input, and the input goes to its execution. */
import { Effect } from "effect"
import type { Signal } from "../definition/Signal.ts"
import type { Of } from "../execution/rules/SagaInput.ts"
import type { SignalRefusal } from "../execution/rules/SignalInput.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import { maxContextSize } from "../wire/JsonLimits.ts"
import * as Text from "../wire/Text.ts"
import { normalize } from "../wire/Uuid.ts"
import { patience, submit } from "./ExecutionInput.ts"
import type { ControlError, ExecutionSupervisor } from "./ExecutionSupervisor.ts"
import { uuidOfKey } from "./LoadExecution.ts"
import { strangerOfSignal } from "./ManagerArguments.ts"
import { SagaSignalInvalid, type SignalError } from "./ManagerErrors.ts"
import type { SignalAnswer, UntypedSignal } from "./ManagerOptions.ts"
import * as SendSignal from "./SendSignal.ts"

export interface Keeper extends SendSignal.Sender {
  readonly repository: Pick<SagaExecutionRepository["Service"], "find" | "load" | "submit">
}

export const signal = Effect.fnUntraced(function* (
  supervisor: ExecutionSupervisor,
  keeper: Keeper,
  signal: Signal<string, any>,
  options: UntypedSignal
): Effect.fn.Return<SignalAnswer, SignalError> {
  const input = inputOf(signal, options)
  if (input instanceof SagaSignalInvalid) return yield* input
  const { startKey, uuid: given } = options
  const named = startKey === undefined ? ([given, "uuid"] as const) : ([startKey, "startKey"] as const)
  const issue = Text.issueOf(named[0], Text.maxBytes.startKey)
  if (issue !== undefined) return yield* new SagaSignalInvalid({ signal: input.signal, field: named[1], issue })
  const uuid = yield* uuidOf(keeper, options)
  const accepted = { ...input, accepted: true } as const
  const leave = Effect.suspend(() => Effect.as(SendSignal.leave(keeper, uuid, accepted), "accepted" as const))
  return yield* submit(supervisor, uuid, input).pipe(
    Effect.as("applied" as const),
    Effect.catchIf(isForOthers, () => leave),
    Effect.timeoutOrElse({ duration: patience, orElse: () => leave })
  )
})

/**
 * The process has no place for one more runner, or has a program for the execution that cannot read it: another instance will take
 * the signal, perhaps after a deployment, and nobody waits for that (SPEC C10).
 */
const isForOthers = (error: ControlError | SignalRefusal): boolean =>
  (error._tag === "SagaOverloaded" && error.limit === "maxPending") ||
  error._tag === "SagaExecutionUnreadable" ||
  error._tag === "SagaDefinitionDrift" ||
  SendSignal.isOfNewer(error)

/** The signal as data, with its texts checked and its payload encoded by the schema of the signal. */
export const inputOf = (
  signal: Signal<string, any>,
  options: Omit<UntypedSignal, "uuid" | "startKey">
): Of<"Signal"> | SagaSignalInvalid => {
  const { name, payload: codec }: Partial<Signal<string, any>> = Object(signal)
  if (typeof name !== "string" || codec === undefined)
    return new SagaSignalInvalid({ signal: "", field: "signal", issue: "is not made by Signal.make" })
  if (typeof options !== "object" || options === null)
    return new SagaSignalInvalid({ signal: name, field: "options", issue: "is not an object" })
  const stranger = strangerOfSignal(options)
  if (stranger !== undefined)
    return new SagaSignalInvalid({ signal: name, field: "options", issue: `${stranger.option} ${stranger.issue}` })
  const { actor, id, key, payload } = options
  const invalid = (field: SagaSignalInvalid["field"], issue: string | undefined) =>
    issue === undefined ? undefined : new SagaSignalInvalid({ signal: name, field, issue })
  const isWrong =
    (key !== undefined && invalid("key", Text.issueOf(key, Text.maxBytes.signalKey))) ||
    (id !== undefined && invalid("id", Text.issueOf(id, Text.maxBytes.signalKey))) ||
    (actor !== undefined && invalid("actor", Text.issueOf(actor, Text.maxBytes.actor)))
  if (isWrong) return isWrong
  const content = JsonCodec.encode(codec, payload)
  if (JsonCodec.isCodecIssue(content))
    return new SagaSignalInvalid({ signal: name, field: "payload", issue: content.message })
  const size = content === undefined ? 0 : Buffer.byteLength(JSON.stringify(content))
  if (size > maxContextSize)
    return new SagaSignalInvalid({ signal: name, field: "payload", issue: `${size} of ${maxContextSize} bytes` })
  return {
    _tag: "Signal",
    signal: name,
    id: id ?? (key === undefined ? name : `${name}:${key}`),
    ...(key !== undefined && { key }),
    ...(content !== undefined && { content }),
    ...(actor !== undefined && { actor })
  }
}

/** The execution that the caller means. */
const uuidOf = ({ repository }: Keeper, { startKey, uuid = "" }: UntypedSignal) =>
  startKey === undefined ? Effect.succeed(normalize(uuid) ?? uuid) : uuidOfKey(repository, startKey)
