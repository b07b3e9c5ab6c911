/** How an action of an operator becomes inputs in the inbox of its execution, and what its outcome is (SPEC C16). */
import { Clock, Duration, Effect, Result } from "effect"
import * as ParkedInput from "../execution/rules/ParkedInput.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import * as SignalInput from "../execution/rules/SignalInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { line } from "../wire/OneLine.ts"
import * as Text from "../wire/Text.ts"
import * as Uuid from "../wire/Uuid.ts"
import type { DoubtDecision, DoubtOutcome } from "./Doubts.ts"
import * as InboxInput from "./InboxInput.ts"
import type { Action, ActOptions, Inspector, InspectorError, Outcome } from "./Inspector.ts"
import type { SagaExecutionNotFound } from "./RepositoryErrors.ts"
import { type InboxRow, SagaInboxFull, type Submitted } from "./SagaInbox.ts"

/** What an action needs of a storage. */
export interface Storage {
  /** By the uuid, or by the `startKey`. */
  readonly read: (target: string) => Effect.Effect<SagaExecution, SagaExecutionNotFound | InspectorError>
  readonly submit: (
    row: InboxRow,
    signal: string | undefined
  ) => Effect.Effect<Submitted, SagaInboxFull | SagaExecutionNotFound | InspectorError>
  /** The ids of the inputs that wait for an execution. */
  readonly waiting: (uuid: string) => Effect.Effect<ReadonlyArray<string>, InspectorError>
}

const applied: Outcome = { _tag: "Applied" }
const refused = (why: string, message: string): Outcome => ({ _tag: "Refused", why, message })

/** Between two looks for the outcome: soon at first, as most inputs are applied at once. */
const looks = { least: 20, most: 500 } as const

const patience: Duration.Input = "10 seconds"

export const act =
  (storage: Storage): Inspector["Service"]["act"] =>
  (target, action, { wait = patience, ...who }) =>
    Effect.gen(function* () {
      const issue = issueOf(action, who)
      if (issue !== undefined) return refused("InvalidText", issue)
      const execution = yield* storage.read(target)
      const inputs = inputsOf(execution, action, who)
      if ("_tag" in inputs) return inputs
      const rows: Array<string> = []
      for (const input of inputs) {
        const answer = yield* leave(storage, execution, input, who.reason)
        if (typeof answer === "string") rows.push(answer)
        else if (answer._tag === "Refused") return answer
      }
      return rows.length === 0 ? applied : yield* outcomeOf(storage, execution.uuid, rows, Duration.toMillis(wait))
    })

/** Texts that a store cannot keep. */
const issueOf = (action: Action, { actor, reason }: Omit<ActOptions, "wait">): string | undefined => {
  const checked: ReadonlyArray<readonly [string, string | undefined, number]> = [
    ["The actor", actor, Text.maxBytes.actor],
    ["The reason", reason, Text.maxBytes.reason],
    ...(action._tag === "Signal"
      ? ([
          ["The signal", action.signal, Text.maxBytes.signalKey],
          ["The key", action.key, Text.maxBytes.signalKey],
          ["The id", action.id, Text.maxBytes.signalKey]
        ] as const)
      : [])
  ]
  for (const [name, text, limit] of checked) {
    const issue = text === undefined ? undefined : text === "" ? "is empty" : Text.issueOf(text, limit)
    if (issue !== undefined) return `${name} ${issue}`
  }
  return undefined
}

/** The inputs of an action; or its outcome, where it needs none. */
const inputsOf = (
  execution: SagaExecution,
  action: Action,
  { actor, reason }: Omit<ActOptions, "wait">
): ReadonlyArray<SagaInput.SagaInput> | Outcome => {
  const { parked, uuid } = execution
  switch (action._tag) {
    case "Cancel":
    case "Reject":
      return [{ _tag: action._tag, actor, reason }]
    case "Commit":
      return [{ _tag: "Commit" }]
    case "Signal": {
      const { id, key, payload, signal } = action
      return [
        {
          _tag: "Signal",
          signal,
          id: id ?? (key === undefined ? signal : `${signal}:${key}`),
          ...(key !== undefined && { key }),
          ...(payload !== undefined && { content: payload }),
          actor
        }
      ]
    }
    case "RetryParked": {
      const places = action.place === undefined ? parked : [action.place]
      if (places.length === 0) return refused("SagaStepNotParked", line`Execution ${uuid} is not parked`)
      return places.map((path) => ({ _tag: "RetryParked", path, actor, reason }) as const)
    }
    case "ResolveParked": {
      const { result } = action
      const [path = parked[0], ...others] = action.place === undefined ? parked : [action.place]
      if (path === undefined) return refused("SagaStepNotParked", line`Execution ${uuid} is not parked`)
      if (others.length > 0)
        return refused("SeveralPlaces", line`Execution ${uuid} is parked at ${parked.join(", ")}: name one of them`)
      return [{ _tag: "ResolveParked", path, actor, reason, ...(result !== undefined && { result }) }]
    }
  }
}

/** Stores an input. Gives the id of its row, or the outcome that the stored facts say. */
const leave = Effect.fnUntraced(function* (
  storage: Storage,
  execution: SagaExecution,
  input: SagaInput.SagaInput,
  reason: string
) {
  const { uuid } = execution
  const now = yield* Clock.currentTimeMillis
  const known = judged(execution.state, input, now)
  if (known !== undefined) return known
  const row = { ...InboxInput.rowOf(uuid, input, now, execution), reason }
  const signal = input._tag === "Signal" ? input.signal : undefined
  const answer = yield* storage.submit(row, signal).pipe(
    Effect.catchIf(
      (error) => error instanceof SagaInboxFull,
      (error) => Effect.succeed(error)
    )
  )
  if (answer instanceof SagaInboxFull) return refused(answer._tag, answer.message)
  if (answer === "stored" || answer === "known") return row.id
  // It has gone on since it was read.
  const latest = judged((yield* storage.read(uuid)).state, input, now)
  if (latest !== undefined) return latest
  const { message } = new SignalInput.SagaSignalRefused({
    uuid,
    signal: signal ?? "",
    reason: answer === "settled" ? "ended" : answer
  })
  return refused("SagaSignalRefused", message)
})

/** The outcome that follows from the facts alone; undefined: the owner has to judge. */
const judged = (state: SagaState, input: SagaInput.SagaInput, now: number): Outcome | undefined => {
  const verdict = verdictOf(state, input, now)
  if (verdict === undefined) return undefined
  if (Result.isSuccess(verdict)) return verdict.success.length === 0 ? applied : undefined
  const { failure } = verdict
  return typeof failure === "string" ? refused(failure, failure) : refused(failure._tag, failure.message)
}

const verdictOf = (
  state: SagaState,
  input: SagaInput.SagaInput,
  now: number
): SagaInput.Verdict<SagaInput.Refusal> | undefined => {
  switch (input._tag) {
    case "Cancel":
      return SagaInput.cancel(state, input, { now })
    case "Commit":
      return state.decision === "reject"
        ? Result.fail(new SagaInput.SagaAlreadyDecided({ uuid: state.uuid, decision: "reject" }))
        : SagaInput.commit(state, { now })
    case "Reject":
      return SagaInput.reject(state, input, { now })
    case "RetryParked":
    case "ResolveParked":
      // Both are refused for the same places; a result is for the owner to judge, who has its schema.
      return ParkedInput.retry(state, { path: input.path, actor: input.actor }, { now })
    case "Signal":
      return SignalInput.signal(state, input, { now, definition: undefined })
    default:
      return undefined
  }
}

/** Waits until no row is left, or the time is over. */
const outcomeOf = Effect.fnUntraced(function* (
  storage: Storage,
  uuid: string,
  rows: ReadonlyArray<string>,
  millis: number
) {
  const until = (yield* Clock.currentTimeMillis) + millis
  let pause: number = looks.least
  while (true) {
    const there = new Set(yield* storage.waiting(uuid))
    const left = rows.filter((id) => there.has(id))
    if (left.length === 0) return yield* stored(storage, uuid, rows)
    const now = yield* Clock.currentTimeMillis
    if (now >= until) return { _tag: "Waiting", inbox: there.size } as const
    yield* Effect.sleep(Math.min(pause, until - now))
    pause = Math.min(pause * 2, looks.most)
  }
})

/** The outcome as the facts say it. The storage may have removed an execution that has ended with the input. */
const stored = (storage: Storage, uuid: string, rows: ReadonlyArray<string>): Effect.Effect<Outcome, InspectorError> =>
  Effect.match(storage.read(uuid), {
    onFailure: (error) => (error._tag === "SagaExecutionNotFound" ? Effect.succeed(applied) : Effect.fail(error)),
    onSuccess: (execution) => {
      for (const id of rows) {
        const outcome = InboxInput.readOutcome(execution, id)
        if (outcome === undefined || Result.isSuccess(outcome)) continue
        const { failure } = outcome
        if (typeof failure !== "string") return Effect.succeed(refused(failure._tag, failure.message))
        const message = "The process that has the execution is of an older release, and does not know this action"
        return Effect.succeed(refused(failure, message))
      }
      return Effect.succeed(applied)
    }
  }).pipe(Effect.flatten)

/** The part of a store that keeps decisions about transactions in doubt. */
interface DoubtStorage<E> {
  readonly decide: (decision: DoubtDecision) => Effect.Effect<"stored" | "known" | "not-in-doubt", E>
  readonly outcome: (service: string, uuid: string) => Effect.Effect<DoubtOutcome | undefined, E>
}

export const decideInDoubt =
  <E>(
    storage: DoubtStorage<E> | undefined,
    failed: (error: E) => InspectorError
  ): Inspector["Service"]["decideInDoubt"] =>
  ({ decision, service, uuid: given }, { wait = patience, ...who }) =>
    Effect.gen(function* () {
      const issue = issueOf({ _tag: "Cancel" }, who)
      if (issue !== undefined) return refused("InvalidText", issue)
      const uuid = Uuid.normalize(given)
      const missing = refused("NotInDoubt", line`${service} is not in doubt about ${given}`)
      if (storage === undefined || uuid === undefined) return missing
      const begun = yield* Clock.currentTimeMillis
      const answer = yield* storage.decide({ service, uuid, decision, ...who, at: begun })
      if (answer === "not-in-doubt") return missing
      if (answer === "known")
        return refused(
          "AlreadyDecided",
          line`Somebody has decided ${service} about ${uuid} already: the first decision counts`
        )
      const until = begun + Duration.toMillis(wait)
      while (true) {
        const outcome = yield* storage.outcome(service, uuid)
        if (outcome === "applied") return applied
        if (outcome === "too-late")
          return refused("TooLate", line`The decision of the coordinator about ${uuid} has come to ${service} before`)
        const now = yield* Clock.currentTimeMillis
        if (now >= until) return { _tag: "Waiting", inbox: 1 } as const
        yield* Effect.sleep(Math.min(looks.most, until - now))
      }
    }).pipe(Effect.mapError(failed))
