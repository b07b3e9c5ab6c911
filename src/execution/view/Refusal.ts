/** The refusals of inputs with their schema: a refusal is stored for its sender, and goes back to it from another process. */
import { Schema } from "effect"
import * as SagaInput from "../rules/SagaInput.ts"
import * as SignalInput from "../rules/SignalInput.ts"

export const Refusal = Schema.Union([
  Schema.Literals(["stale", "sender-mismatch"]),
  SagaInput.SagaExecutionAlreadyExecuted,
  SagaInput.SagaResponseAmbiguous,
  SagaInput.SagaResponseConflict,
  SagaInput.SagaResponseNotAwaited,
  SagaInput.SagaExecutionNotFinished,
  SagaInput.SagaAlreadyDecided,
  SagaInput.SagaNotCancellable,
  SagaInput.SagaRollbackExecution,
  SagaInput.SagaStepNotParked,
  SagaInput.SagaResolutionRefused,
  SignalInput.SagaSignalConflict,
  SignalInput.SagaSignalRefused,
  SignalInput.SagaSignalsFull
]) satisfies Schema.Schema<SagaInput.Refusal>
