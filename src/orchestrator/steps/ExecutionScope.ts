/** The things that every instruction is performed with: the execution as it stands, and the settings and the clock of its runner. */
import type { Clock, Context, Effect, Fiber, Tracer } from "effect"
import type { Definition } from "../../definition/SagaStep.ts"
import type { Instruction } from "../../execution/rules/Instruction.ts"
import type * as RetrySchedule from "../../execution/rules/RetrySchedule.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaState } from "../../execution/rules/SagaState.ts"
import type { SagaExecutionRepository, SagaExecutionRepositoryError } from "../../ports/SagaExecutionRepository.ts"
import type { ExecutionTrace } from "../ExecutionTrace.ts"
import type { StartedSagas } from "./OtherSagas.ts"

export interface ExecutionScope {
  readonly definition: Definition
  readonly state: SagaState
  readonly schedule: RetrySchedule.ScheduleConfig
  /** The own service. */
  readonly service: string
  readonly clock: Clock.Clock
  /** Starts other sagas, and takes them back. Absent where one operation is run that starts none (`Executor`). */
  readonly sagas?: StartedSagas
  /** Of the transport, as `Broker.maxBytes`. */
  readonly maxBytes?: (() => number | undefined) | undefined
  /**
   * The context from which each callback starts, when the fiber belongs to the runner. Undefined: the fiber belongs to a
   * caller, and its context is restored after each callback.
   */
  readonly fiberContext: Context.Context<never> | undefined
  /** The fiber that runs now, where the instruction is performed in place: callbacks are called at once. */
  readonly fiber?: Fiber.Fiber<unknown, unknown> | undefined
  /** Annotations of the log around the execution, where there are any. */
  readonly annotations?: Readonly<Record<string, unknown>> | undefined
  /** Undefined: nothing is traced. */
  readonly trace?: ExecutionTrace | undefined
  /** The span of the instruction that is performed. */
  readonly span?: Tracer.Span | undefined
  /** Of a transactional step. */
  readonly transaction?: StepTransaction
}

/** The transaction in which a transactional step runs. */
export interface StepTransaction {
  /** An attempt that fails inside of it leaves nothing to the next one. */
  readonly atomically: SagaExecutionRepository["Service"]["atomically"]
  /** Notes where a failure of an attempt ends the transaction itself. */
  readonly watch: <A, E>(attempt: Effect.Effect<A, E>) => Effect.Effect<A, E | SagaExecutionRepositoryError>
  /** The transaction has been ended: no further attempt can work in it, and the step runs again in another one. */
  readonly isOver: boolean
}

export type Facts = ReadonlyArray<SagaEvent>
export type InstructionOf<Tag extends Instruction["_tag"]> = Extract<Instruction, { readonly _tag: Tag }>

export const now = (scope: ExecutionScope): number => scope.clock.currentTimeMillisUnsafe()
