/** One step of one execution, as people and programs read it: its status, the services that took part, the steps inside. */
import { Effect, Schema } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition, SagaStep } from "../../definition/SagaStep.ts"
import { Json } from "../../wire/JsonLimits.ts"
import * as Uuid from "../../wire/Uuid.ts"
import type { SagaState } from "../rules/SagaState.ts"
import { SagaStatus, SagaStepStatus } from "../rules/SagaStatus.ts"
import { type Frame, framesIn, type StepState, started } from "../rules/StepTree.ts"
import * as Values from "./ContextValues.ts"

export interface SagaStepExecution {
  /** Version 5, from the execution's uuid and the path. */
  readonly uuid: string
  readonly path: string
  readonly name: string
  readonly kind: StepState["kind"]
  /** Absent where the definition is not known to this program. */
  readonly definition: SagaStep | undefined
  readonly status: SagaStepStatus
  readonly relatedServices: ReadonlyArray<string>
  readonly alreadyRollback: boolean
  /** Its service has begun the command, and answers later. */
  readonly accepted: boolean
  /** The alternative that was chosen; undefined for other kinds. */
  readonly choice: number | null | undefined
  /** The executions inside: one of a conditional or nested step, one for each branch of a parallel step, or item that has begun. */
  readonly inner: ReadonlyArray<Inner>
}

/**
 * The execution of an inner sequence. It has the id and user of the outer one and never commits by itself. The context of an item
 * has the item and the results of its steps; what the outer one has stands there.
 */
export interface Inner {
  readonly uuid: string
  readonly user: string | undefined
  readonly status: SagaStatus
  readonly executedSteps: ReadonlyArray<SagaStepExecution>
  readonly pausedStep: SagaStepExecution | undefined
  readonly context: { readonly [name: string]: Json }
}

interface Run {
  readonly uuid: string
  readonly user: string | undefined
  readonly definition: Definition | undefined
  readonly state: Pick<SagaState, "direction">
}

export const make = (run: Run, state: StepState): SagaStepExecution => ({
  get uuid() {
    return Uuid.ofStep(run.uuid, state.path)
  },
  path: state.path,
  name: state.name,
  kind: state.kind,
  get definition() {
    return run.definition === undefined ? undefined : SagaPath.at(run.definition, state.path)
  },
  status: state.status,
  relatedServices: state.relatedServices,
  alreadyRollback: state.alreadyRollback,
  accepted: state.request?.accepted !== undefined && state.reply === undefined,
  choice: state.choice,
  get inner() {
    return framesIn(state).map((frame) => innerOf(run, state, frame))
  }
})

/** The steps of a frame that are over, in the order in which they ran: done, compensated, parked or failed. */
export const executed = (run: Run, frame: Frame): ReadonlyArray<SagaStepExecution> =>
  started(frame)
    .filter((state) => state !== frame.current || !isUnderWay(run, state))
    .map((state) => make(run, state))

/** During a rollback only a local step or a start that still runs is under way. A step that is compensated is over. */
const isUnderWay = ({ state: { direction } }: Run, step: StepState): boolean =>
  direction === "forward"
    ? step.failure === undefined
    : (step.kind === "local" || step.kind === "start") && step.status === "running-on-execute"

/** During a rollback no reply is awaited to go on. */
export const paused = (run: Run, frame: Frame): SagaStepExecution | undefined =>
  run.state.direction === "forward" && frame.current?.status === "paused-by-on-execute"
    ? make(run, frame.current)
    : undefined

const innerOf = (run: Run, outer: StepState, frame: Frame): Inner => {
  const steps = executed(run, frame)
  const pausedStep = paused(run, frame)
  const broken = outer.status === "errored-by-on-execute" && steps.some((step) => step.status.startsWith("errored"))
  return {
    uuid: run.uuid,
    user: run.user,
    status:
      pausedStep !== undefined
        ? "paused"
        : broken || outer.alreadyRollback
          ? "errored"
          : outer.status === "finished"
            ? "finished"
            : "running",
    executedSteps: steps,
    pausedStep,
    context: outer.kind === "forEach" ? Values.encodedItem(frame.context) : Values.encoded(frame.context)
  }
}

// ---- encoded form ----------------------------------------------------------------------------------------------

const common = {
  uuid: Schema.optionalKey(Schema.String),
  /** The step's place and name in the definition; the definition itself is found by the saga's fingerprint. */
  definition: Schema.Struct({ path: Schema.String, name: Schema.String }),
  status: SagaStepStatus,
  relatedServices: Schema.Array(Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  alreadyRollback: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))
}

export interface RawInner {
  readonly uuid: string
  readonly user: string | null
  readonly status: SagaStatus
  readonly executedSteps: ReadonlyArray<Raw>
  readonly pausedStep: Raw | null
  readonly context: { readonly [name: string]: Json }
}

const RawInner = Schema.Struct({
  uuid: Schema.String,
  user: Schema.NullOr(Schema.String),
  status: SagaStatus,
  executedSteps: Schema.Array(Schema.suspend((): Schema.Codec<Raw, any> => Raw)),
  pausedStep: Schema.NullOr(Schema.suspend((): Schema.Codec<Raw, any> => Raw)),
  context: Schema.Record(Schema.String, Json)
})

/** The encoded form, by kind. A form of another kind does not decode. */
export type Raw = {
  readonly uuid?: string
  readonly definition: { readonly path: string; readonly name: string }
  readonly status: SagaStepStatus
  readonly relatedServices: ReadonlyArray<string>
  readonly alreadyRollback: boolean
} & (
  | { readonly kind: "local" | "remote" | "wait" | "start" }
  | { readonly kind: "conditional"; readonly choice: number | null; readonly inner: RawInner | null }
  | { readonly kind: "nested"; readonly inner: RawInner | null }
  | { readonly kind: "parallel"; readonly branches: ReadonlyArray<RawInner> }
  | { readonly kind: "forEach"; readonly items: ReadonlyArray<RawInner> }
)

export const Raw: Schema.Codec<Raw, any> = Schema.Union([
  Schema.Struct({ kind: Schema.Literals(["local", "remote", "wait", "start"]), ...common }),
  Schema.Struct({
    kind: Schema.Literal("conditional"),
    ...common,
    choice: Schema.NullOr(Schema.Int),
    inner: Schema.NullOr(RawInner)
  }),
  Schema.Struct({ kind: Schema.Literal("nested"), ...common, inner: Schema.NullOr(RawInner) }),
  Schema.Struct({ kind: Schema.Literal("parallel"), ...common, branches: Schema.Array(RawInner) }),
  Schema.Struct({ kind: Schema.Literal("forEach"), ...common, items: Schema.Array(RawInner) })
])

export const raw = (self: SagaStepExecution): Raw => {
  const fields = {
    uuid: self.uuid,
    definition: { path: self.path, name: self.name },
    status: self.status,
    relatedServices: self.relatedServices,
    alreadyRollback: self.alreadyRollback
  }
  const inner = self.inner.map(rawInner)
  switch (self.kind) {
    case "local":
    case "remote":
    case "wait":
    case "start":
      return { kind: self.kind, ...fields }
    case "conditional":
      return { kind: self.kind, ...fields, choice: self.choice ?? null, inner: inner[0] ?? null }
    case "nested":
      return { kind: self.kind, ...fields, inner: inner[0] ?? null }
    case "parallel":
      return { kind: self.kind, ...fields, branches: inner }
    case "forEach":
      return { kind: self.kind, ...fields, items: inner }
  }
}

const rawInner = (self: Inner): RawInner => ({
  uuid: self.uuid,
  user: self.user ?? null,
  status: self.status,
  executedSteps: self.executedSteps.map(raw),
  pausedStep: self.pausedStep === undefined ? null : raw(self.pausedStep),
  context: self.context
})
