/** The public part of `SagaExecution`: what an execution shows, how one is made by hand, and its JSON form. */
export type { SagaState } from "../execution/rules/SagaState.ts"
export type { Frame, Stack, StepState } from "../execution/rules/StepTree.ts"
export type { Phase } from "../execution/rules/TwoPhaseCommit.ts"
export {
  type Errored,
  type Finished,
  fromDefinition,
  fromRaw,
  type Options,
  type Parked,
  type Paused,
  Raw,
  raw,
  SagaDecodeError,
  SagaExecution,
  SagaInvalidStart,
  SagaInvalidUuid,
  type Unfinished
} from "../execution/view/SagaExecution.ts"
export type { Inner, Raw as RawStep, SagaStepExecution } from "../execution/view/SagaStepExecution.ts"
export { maxContextSize } from "../wire/JsonLimits.ts"
