/** Handles the reply of a remote step: 200 by `onSuccess`, 400 by `onError`. */
import { Effect, Exit } from "effect"
import { SagaResponseError } from "../../definition/SagaMessage.ts"
import type { Remote } from "../../definition/SagaStep.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import * as Failure from "../../execution/view/ExecutionErrors.ts"
import { contextView } from "../../execution/view/SagaExecution.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import {
  type At,
  type Errored,
  type Facts,
  failed,
  type Knowledge,
  now,
  type Run,
  rejected,
  succeeded,
  within
} from "./StepCallback.ts"

export const handleReply = (run: Run, { context, path, state, step }: At<"HandleReply">): Effect.Effect<Facts> => {
  const content = state.reply?.content
  return Effect.mapEager(
    state.status === "running-on-success"
      ? handleSuccess(run, path, step, content, context)
      : handleError(run, path, step, content, context),
    (fact): Facts => [fact]
  )
}

/** Without a handler the reply is the result. */
const handleSuccess = (
  run: Run,
  path: string,
  step: Remote,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.Effect<SagaEvent> => {
  const reply = JsonCodec.decode(step.execute.success, content)
  if (JsonCodec.isCodecIssue(reply)) {
    return Effect.succeed(rejected(run, path, step.name, "errored-on-success", "exists", "decode", reply.message))
  }
  const { onSuccess } = step
  return onSuccess === undefined
    ? Effect.succeed(succeeded(run, path, step, "errored-on-success", reply, context, false))
    : handled(run, path, step, context, "errored-on-success", "exists", (view) => onSuccess(reply, view))
}

/** Without a handler the refusal fails the step: it must not count as success (SPEC C5). */
const handleError = (
  run: Run,
  path: string,
  step: Remote,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.Effect<SagaEvent> => {
  const said = content ?? null
  const codec = step.execute.error
  const error =
    codec === undefined ? new SagaResponseError({ status: 400, content: said }) : JsonCodec.decode(codec, content)
  if (JsonCodec.isCodecIssue(error)) {
    return Effect.succeed(rejected(run, path, step.name, "errored-on-error", "none", "decode", error.message))
  }
  const { onError } = step
  if (onError !== undefined) {
    return handled(run, path, step, context, "errored-on-error", "none", (view) => onError(error, view))
  }
  const failure: SagaFailure =
    codec === undefined
      ? { _tag: "StepRefused", path, step: step.name, status: 400, content: said }
      : { _tag: "StepError", path, step: step.name, error: said }
  Failure.remember(failure, error)
  return Effect.succeed({ _tag: "StepFailed", path, status: "errored-on-error", effect: "none", failure, at: now(run) })
}

const handled = (
  run: Run,
  path: string,
  step: Remote,
  context: SagaContext.SagaContext,
  status: Errored,
  effect: Knowledge,
  handler: (view: SagaContext.View) => Effect.Effect<unknown, unknown, any>
): Effect.Effect<SagaEvent> => {
  const view = contextView(run.definition, context)
  return view instanceof Failure.SagaContextDecodeError
    ? Effect.succeed(rejected(run, path, step.name, status, effect, "decode", view.issue))
    : Effect.map(Effect.exit(within(run, path, "execute", () => handler(view))), (exit) =>
        Exit.isSuccess(exit)
          ? succeeded(run, path, step, status, exit.value, context, status === "errored-on-error")
          : failed(run, path, step, status, effect, exit.cause)
      )
}
