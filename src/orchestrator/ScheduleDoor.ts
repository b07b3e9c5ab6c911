/** The door of the manager for schedules, as they see it: the last tick, and an execution for the next one. */
import type { Clock, Effect } from "effect"
import type { SagaNotRegistered } from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { SagaRepositoryUnsupported } from "../ports/SagaExecutionRepository.ts"
import type { StartError } from "./ManagerErrors.ts"
import type { UntypedStart } from "./ManagerOptions.ts"
import type { SagaQueueUnknown } from "./QueueErrors.ts"
import type { StorageError } from "./RunError.ts"

export interface Tick {
  readonly schedule: string
  /** In milliseconds since the epoch. */
  readonly at: number
}

export interface ScheduleDoor {
  /** The time that all processes of the repository share. */
  readonly clock: Clock.Clock
  /** The longest time without a look at the clock, in milliseconds. */
  readonly interval: number
  /** Fails where the manager does not have the saga or the queue, or its repository keeps no schedules. */
  readonly check: (
    saga: Definition,
    queue: UntypedStart["queue"]
  ) => Effect.Effect<void, SagaNotRegistered | SagaQueueUnknown | SagaRepositoryUnsupported>
  /** The last tick of a schedule, in milliseconds since the epoch. A schedule that is new has ticked at `since`. */
  readonly last: (schedule: string, since: number) => Effect.Effect<number, StorageError | SagaRepositoryUnsupported>
  /** Puts the last tick back to a time where it is later than `beyond`. False: it is not. */
  readonly putBack: (tick: Tick, beyond: number) => Effect.Effect<boolean, StorageError | SagaRepositoryUnsupported>
  /** Counts a tick as made, without an execution. False: it is made already. */
  readonly pass: (tick: Tick) => Effect.Effect<boolean, StorageError | SagaRepositoryUnsupported>
  /** Starts the execution of a tick, and gives its uuid; undefined where the tick is made already. It is not waited for. */
  readonly start: (
    saga: Definition,
    options: UntypedStart,
    tick: Tick
  ) => Effect.Effect<string | undefined, StartError | SagaRepositoryUnsupported>
}
