/** The refusals of inputs with their schema: a refusal is stored for its sender, and goes back to it from another process. */
import { Schema } from "effect"
import * as SagaInput from "../rules/SagaInput.ts"

export const Refusal = Schema.Union([
  Schema.Literals(["stale", "sender-mismatch"]),
  SagaInput.SagaExecutionAlreadyExecuted,
  SagaInput.SagaResponseAmbiguous,
  SagaInput.SagaExecutionNotFinished,
  SagaInput.SagaAlreadyDecided,
  SagaInput.SagaNotCancellable,
  SagaInput.SagaRollbackExecution,
  SagaInput.SagaStepNotParked
]) satisfies Schema.Schema<SagaInput.Refusal>
