/** Handles the reply of a remote step: 200 by `onSuccess`, 400 by `onError`. */
import { Effect, Exit } from "effect"
import { SagaResponseError } from "../../definition/SagaMessage.ts"
import type { Remote } from "../../definition/SagaStep.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import { contextView } from "../../execution/view/ContextView.ts"
import { remember, SagaContextDecodeError } from "../../execution/view/ExecutionErrors.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import type { ExecutionScope, Facts, InstructionOf } from "./ExecutionScope.ts"
import { runCallback } from "./StepCallback.ts"
import { onError, onSuccess, StepFacts } from "./StepFacts.ts"

export const handleReply = (
  scope: ExecutionScope,
  { context, path, state, step }: InstructionOf<"HandleReply">
): Effect.Effect<Facts> => {
  const content = state.reply?.content
  return Effect.mapEager(
    state.status === "running-on-success"
      ? handleSuccess(new StepFacts(scope, path, step, onSuccess), content, context)
      : handleError(new StepFacts(scope, path, step, onError), content, context),
    (fact): Facts => [fact]
  )
}

/** Without a handler the reply is the result. */
const handleSuccess = (
  facts: StepFacts<Remote>,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.Effect<SagaEvent> => {
  const { execute, onSuccess } = facts.step
  const reply = JsonCodec.decode(execute.success, content)
  if (JsonCodec.isCodecIssue(reply)) return Effect.succeed(facts.rejected("decode", reply.message))
  return onSuccess === undefined
    ? Effect.succeed(facts.succeeded(reply, context))
    : runHandler(facts, context, (view) => onSuccess(reply, view))
}

/** Without a handler the refusal fails the step: it must not count as success (SPEC C5). */
const handleError = (
  facts: StepFacts<Remote>,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.Effect<SagaEvent> => {
  const { path, step } = facts
  const { execute, name, onError } = step
  const codec = execute.error
  const stored = content ?? null
  const error =
    codec === undefined ? new SagaResponseError({ status: 400, content: stored }) : JsonCodec.decode(codec, content)
  if (JsonCodec.isCodecIssue(error)) return Effect.succeed(facts.rejected("decode", error.message))
  if (onError !== undefined) return runHandler(facts, context, (view) => onError(error, view))
  const failure: SagaFailure =
    codec === undefined
      ? { _tag: "StepRefused", path, step: name, status: 400, content: stored }
      : { _tag: "StepError", path, step: name, error: stored }
  remember(failure, error)
  return Effect.succeed(facts.failedWith(failure))
}

const runHandler = (
  facts: StepFacts<Remote>,
  context: SagaContext.SagaContext,
  handler: (view: SagaContext.View) => Effect.Effect<unknown, unknown, any>
): Effect.Effect<SagaEvent> => {
  const { path, scope } = facts
  const view = contextView(scope.definition, context)
  return view instanceof SagaContextDecodeError
    ? Effect.succeed(facts.rejected("decode", view.issue))
    : Effect.map(Effect.exit(runCallback(scope, path, "execute", () => handler(view))), (exit) =>
        Exit.isSuccess(exit) ? facts.succeeded(exit.value, context) : facts.failed(exit.cause)
      )
}
