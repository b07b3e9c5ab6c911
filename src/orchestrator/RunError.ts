/** Why the loop of an execution ends without having brought it further. */
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { SagaExecutionUnreadable } from "../execution/view/Readable.ts"
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
  | SagaExecutionUnreadable

export type StoreError = Exclude<StorageError, SagaExecutionNotFound | SagaExecutionUnreadable>

export type RunError = StorageError | SagaDefinitionDrift
