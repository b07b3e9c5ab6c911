/**
 * The public part of `SagaExecutionRepository`: the port, its errors, its memory layer. A repository of one's own is made
 * with `KeyValueRepository`, or with the tools in `effect-saga/internals`.
 */
export {
  type Census,
  type Claimed,
  type ClaimRequest,
  ExecutionSummary,
  type Filter,
  type GiveBackRequest,
  type Held,
  type Hint,
  type InboxRow,
  layerMemory,
  layerMemoryWith,
  type MemoryOptions,
  Operation,
  type Page,
  type PageRequest,
  SagaExecutionConflict,
  SagaExecutionNotFound,
  SagaExecutionRepository,
  SagaExecutionRepositoryError,
  SagaExecutionRetired,
  SagaInboxFull,
  SagaRepositoryUnsupported,
  type ScheduleTicks,
  type Submitted,
  type TakeRequest
} from "../ports/SagaExecutionRepository.ts"
