/** Why the loop of an execution ends without having brought it further. */
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type {
  SagaExecutionConflict,
  SagaExecutionNotFound,
  SagaExecutionRepositoryError,
  SagaExecutionRetired
} from "../ports/SagaExecutionRepository.ts"

/** Why the record of an execution could not be read or written. */
export type StorageError =
  | SagaExecutionConflict
  | SagaExecutionNotFound
  | SagaExecutionRetired
  | SagaExecutionRepositoryError

export type StoreError = Exclude<StorageError, SagaExecutionNotFound>

export type RunError = StorageError | SagaDefinitionDrift
