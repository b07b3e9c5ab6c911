/** The door for steps that start another saga, as they see it: an execution is begun, or found, and taken back. */
import type { Effect } from "effect"
import type { Definition } from "../../definition/SagaStep.ts"
import type { Of } from "../../execution/rules/SagaEvent.ts"
import type { SagaState } from "../../execution/rules/SagaState.ts"
import type { UuidGenerator } from "../../wire/Uuid.ts"

type Child = Of<"StartRequested">

/** The execution that a step has started. `isOwn`: no other starter has made it under the same key. */
export interface Begun {
  readonly uuid: string
  readonly isOwn: boolean
}

/**
 * What became of it. `Undone`: it is over and compensated. `Open`: it goes back, or it is behind its pivot. `Stuck`: it waits for a
 * person. `Finished`: it is committed; `context` is absent where nobody here has it.
 */
export type Fate =
  | { readonly _tag: "Undone" | "Open" }
  | { readonly _tag: "Stuck"; readonly reason: string }
  | { readonly _tag: "Finished"; readonly context?: unknown }

export interface StartedSagas {
  readonly newUuid: (generator: typeof UuidGenerator.Service, now: number, startKey: string) => string
  /**
   * Makes the execution, or finds it: as often as it takes while the repository is away. Fails where it can never be made.
   * `isOver`: it ends before its first step.
   */
  readonly begin: (
    saga: Definition,
    options: { readonly child: Child; readonly values: unknown; readonly isOver: boolean; readonly parent: SagaState }
  ) => Effect.Effect<Begun, unknown>
  /** Cancels the execution if that is possible, and gives its fate. */
  readonly undo: (
    saga: Definition,
    options: { readonly child: Child; readonly values: unknown; readonly parent: SagaState; readonly step: string }
  ) => Effect.Effect<Fate, unknown>
}
