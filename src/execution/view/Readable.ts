/**
 * Whether a program can read what is stored of an execution (SPEC C10). The fingerprint does not cover schemas, so a program
 * may have the saga of an execution and still not read its values: a schema became stricter. Nothing is run or decided for
 * such an execution; it waits for a program that can read it.
 */
import { Result, Schema } from "effect"
import type { Codec } from "../../definition/Command.ts"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition, Local, Remote, Start } from "../../definition/SagaStep.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { line } from "../../wire/OneLine.ts"
import type * as Context from "../rules/SagaContext.ts"
import { isSettled, type SagaState } from "../rules/SagaState.ts"
import { type Frame, framesIn, type StepState, started } from "../rules/StepTree.ts"
import * as Values from "./ContextValues.ts"
import { codecsOf, contextView } from "./ContextView.ts"
import { isRemembered, SagaContextDecodeError } from "./ExecutionErrors.ts"
import { bind, type SagaExecution } from "./SagaExecution.ts"

/** Which stored value cannot be read. */
export const UnreadableValue = Schema.Literals([
  "context",
  "item",
  "result",
  "reply",
  "error",
  "signal",
  "service",
  "facts"
])

/**
 * A value of a stored execution does not fit the schema that this program has for it, or the program is another service than
 * the one that has started the execution. Nothing was run, decided or lost: the execution waits for a program that can read
 * it. `rule` names the place in the value and what is expected there, never the value.
 */
export class SagaExecutionUnreadable extends Schema.TaggedError<SagaExecutionUnreadable>()("SagaExecutionUnreadable", {
  uuid: Schema.String,
  saga: Schema.String,
  /** Path of the step whose value it is; empty for the initial context, and for what is not about a step. */
  path: Schema.String,
  /** Name of the step, or of the signal. */
  step: Schema.String,
  value: UnreadableValue,
  rule: Schema.String
}) {
  override get message(): string {
    const { path, rule, saga, step, uuid, value } = this
    const at = path === "" ? ` ${step}`.trimEnd() : ` of step ${step} (${path})`
    return line`Execution ${uuid} of saga ${saga} cannot be read by this program: ${value}${at}: ${rule}`
  }
}

/** Not even the facts can be folded. */
export const corruptFacts = { value: "facts", rule: "they are of a newer version, or make no sense" } as const

/** The row of the execution names a definition that this program has, and the facts name another. */
export const otherSaga = { value: "facts", rule: "they are those of another saga than the row says" } as const

/** The execution with the saga that it follows, where everything that is stored of it can be read. */
export const read = (
  self: SagaExecution,
  definition: Definition,
  service?: string
): Result.Result<SagaExecution, SagaExecutionUnreadable> => {
  const found = problemOf(self.state, definition, service)
  return found === undefined
    ? Result.succeed(bind(self, definition))
    : Result.fail(new SagaExecutionUnreadable({ uuid: self.uuid, saga: self.saga, ...found }))
}

type Problem = Pick<SagaExecutionUnreadable, "path" | "step" | "value" | "rule">

/**
 * The result of an execution that is over, as a caller gets it: its context, or the errors that it failed with. Undefined where
 * this program can read it. The stored values stay there for one that can.
 */
export const unreadableResult = ({
  definition,
  saga,
  state,
  uuid
}: SagaExecution): SagaExecutionUnreadable | undefined => {
  if (definition === undefined) return undefined
  const found =
    state.status === "errored" ? errorsOf(definition, state.root) : contextOf(definition, state.root.context)
  return found === undefined ? undefined : new SagaExecutionUnreadable({ uuid, saga, ...found })
}

/**
 * The first stored value that the definition cannot read, though the execution may still need it; undefined: there is none.
 * `service`: the own service, whose name the requests of the execution have as the place to answer to. Absent: any.
 */
export const problemOf = (self: SagaState, definition: Definition, service?: string): Problem | undefined => {
  if (!isReadAgain(self)) return undefined
  const { root, start } = self
  if (service !== undefined && start !== undefined && start.service !== service) {
    return { path: "", step: "", value: "service", rule: `it was started by ${start.service}, and this is ${service}` }
  }
  const isBackward = self.direction === "backward"
  return new Reader(definition, isBackward).frame(root) ?? (isBackward ? undefined : signalOf(self, definition))
}

/** A signal that no step has taken yet must fit its schema when one does. */
const signalOf = ({ signals }: SagaState, definition: Definition): Problem | undefined =>
  first(signals.unused, ({ content, signal }) => {
    const known = SagaPath.signals(definition).get(signal)
    const decoded = known === undefined ? undefined : JsonCodec.decode(known.payload, content)
    return JsonCodec.isCodecIssue(decoded)
      ? { path: "", step: signal, value: "signal", rule: decoded.message }
      : undefined
  })

/**
 * Whether a callback may still read a value. After the decision to commit nothing is left but to tell it, except behind a pivot;
 * and what is rolled back is over, unless a person retries a parked step.
 */
const isReadAgain = (self: SagaState): boolean =>
  !isSettled(self) &&
  (self.decision !== "commit" || self.status !== "finished") &&
  !(self.status === "errored" && self.parked.length === 0 && self.reopened.length === 0)

class Reader {
  private readonly definition: Definition
  private readonly codecs: ReadonlyMap<string, Codec<any>>
  private readonly isBackward: boolean
  /** Chains of entries share their beginnings. */
  private readonly seen = new Set<Context.SagaContext>()

  constructor(definition: Definition, isBackward: boolean) {
    this.definition = definition
    this.codecs = codecsOf(definition)
    this.isBackward = isBackward
  }

  frame(frame: Frame): Problem | undefined {
    return this.results(frame.context) ?? first(started(frame), (step) => this.step(step))
  }

  results(self: Context.SagaContext): Problem | undefined {
    return first(Values.entries(self), (entry) => {
      if (this.seen.has(entry)) return undefined
      this.seen.add(entry)
      if (entry.each !== undefined) return first(entry.each, (item) => this.results(item))
      return entry.inner === undefined ? this.entry(entry) : this.results(entry.inner)
    })
  }

  private entry(entry: Context.SagaContext): Problem | undefined {
    const { encoded, path } = entry
    const codec = this.codecs.get(SagaPath.inDefinition(path))
    if (codec === undefined) return undefined
    const kind = Values.isItem(entry) ? "item" : entry.parent === undefined ? "context" : "result"
    return this.value(kind, stepPath(path), codec, encoded)
  }

  private step(state: StepState): Problem | undefined {
    const step = SagaPath.at(this.definition, state.path)
    // Of a step that failed before it began, older facts have no name.
    const isOther = step !== undefined && state.effect !== "none" && state.name !== step.name
    if (isOther) return problem(this.definition, "facts", state.path, "they are those of a step with another name")
    const own = step?._tag === "Local" || step?._tag === "Remote" ? this.own(state, step) : undefined
    const start = step?._tag === "Start" ? this.start(state, step) : undefined
    return own ?? start ?? first(framesIn(state), (frame) => this.frame(frame))
  }

  /** The values of a step that are no entries of the context. */
  private own(state: StepState, step: Local | Remote): Problem | undefined {
    const { path, result } = state
    // A step that ended during the rollback adds nothing to the context.
    const ended = this.isBackward && result !== undefined ? this.value("result", path, step.success, result) : undefined
    const reply = step._tag === "Remote" ? this.reply(state, step) : undefined
    return ended ?? reply ?? errorOf(this.definition, state)
  }

  /** The values of a saga that is being started. */
  private start({ child, path, status }: StepState, { definition }: Start): Problem | undefined {
    return child === undefined || status !== "running-on-execute"
      ? undefined
      : this.value("context", path, definition().context, child.context)
  }

  private reply(state: StepState, { compensate, execute }: Remote): Problem | undefined {
    const { compensation, effect, failure, parked, path, reply, status } = state
    // A reply that did not fit when it came was never readable: its sender is at fault (SPEC C5, C8).
    if (reply === undefined || (failure?._tag === "StepValueRejected" && failure.rule === "decode")) return undefined
    const isUndone =
      compensate !== undefined &&
      effect === "exists" &&
      !state.alreadyRollback &&
      parked === undefined &&
      compensation?.sent?.message.op !== "failure"
    if (status === "running-on-success" || (isUndone && reply.status === 200))
      return this.value("reply", path, execute.success, reply.content)
    return status === "running-on-error" && execute.error !== undefined
      ? this.value("reply", path, execute.error, reply.content)
      : undefined
  }

  private value(value: Problem["value"], path: string, codec: Codec<any>, encoded: unknown): Problem | undefined {
    const decoded = JsonCodec.decode(codec, encoded)
    return JsonCodec.isCodecIssue(decoded) ? problem(this.definition, value, path, decoded.message) : undefined
  }
}

const problem = (definition: Definition, value: Problem["value"], path: string, rule: string): Problem => ({
  path,
  step: SagaPath.at(definition, path)?.name ?? "",
  value,
  rule
})

/** Initial values stand under the prefix of their saga, and items under that of their steps: they are about the step around. */
const stepPath = (path: string): string => path.replace(/\/(n|i\d+)\/$/, "")

/** The results, decoded once for whoever reads them after this. */
const contextOf = (definition: Definition, context: Context.SagaContext): Problem | undefined => {
  const view = contextView(definition, context)
  if (!(view instanceof SagaContextDecodeError)) return undefined
  return problem(definition, "result", stepPath(view.path), view.issue)
}

/** The declared errors of the steps, except those that this process has itself. */
const errorsOf = (definition: Definition, frame: Frame): Problem | undefined =>
  first(started(frame), (state) => {
    const isKnown = state.failure !== undefined && isRemembered(state.failure)
    return (
      (isKnown ? undefined : errorOf(definition, state)) ??
      first(framesIn(state), (inner) => errorsOf(definition, inner))
    )
  })

const errorOf = (definition: Definition, { failure, path }: StepState): Problem | undefined => {
  const step = SagaPath.at(definition, path)
  if (failure?._tag !== "StepError" || (step?._tag !== "Local" && step?._tag !== "Remote")) return undefined
  const decoded = JsonCodec.decode(step.error, failure.error)
  return JsonCodec.isCodecIssue(decoded) ? problem(definition, "error", path, decoded.message) : undefined
}

const first = <A>(items: ReadonlyArray<A>, find: (item: A) => Problem | undefined): Problem | undefined => {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}
