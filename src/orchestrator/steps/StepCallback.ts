/** How code of an author is called: effects inside the transaction of their execution, pure functions with its context. */
import { Context, Effect, Result, Tracer } from "effect"
import type { Codec } from "../../definition/Command.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import { contextView } from "../../execution/view/ContextView.ts"
import { SagaContextDecodeError } from "../../execution/view/ExecutionErrors.ts"
import { make, runInside, type SagaTransaction } from "../../ports/SagaTransaction.ts"
import { messageId } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import type { ExecutionScope } from "./ExecutionScope.ts"
import { type Obstacle, obstacle } from "./StepFacts.ts"

/** Runs a callback of a step inside the transaction of its execution. Without `enrol` no service can join. */
export const runCallback = <A, E>(
  scope: ExecutionScope,
  { path, step }: { readonly path: string; readonly step: { readonly name: string } },
  op: "execute" | "failure",
  callback: () => Effect.Effect<A, E, any>,
  enrol?: SagaTransaction["enrol"],
  running?: ExecutionScope["fiber"]
): Effect.Effect<A, E> => {
  const { creation, revision, start, uuid } = scope.state
  const { saga, user } = creation
  const idempotencyKey = messageId(uuid, path, op)
  const transaction = make({ uuid, saga, path, idempotencyKey, epoch: revision, user, headers: start?.headers, enrol })
  const { annotations, fiberContext, span } = scope
  const place =
    annotations === undefined ? { saga, uuid, step: step.name } : { ...annotations, saga, uuid, step: step.name }
  if (span === undefined) return runInside(transaction, callback, place, fiberContext, running)
  return fiberContext === undefined
    ? Effect.provideService(runInside(transaction, callback, place, undefined, running), Tracer.ParentSpan, span)
    : runInside(transaction, callback, place, Context.add(fiberContext, Tracer.ParentSpan, span), running)
}

/** Calls a pure function of the author with the context. */
export const callWithContext = <A>(
  scope: ExecutionScope,
  context: SagaContext.SagaContext,
  f: (view: SagaContext.View) => A
): Result.Result<A, Obstacle> => {
  const view = contextView(scope.definition, context)
  if (view instanceof SagaContextDecodeError) return Result.fail(obstacle("decode", view.issue))
  // The author's code may throw, and that fails the step.
  try {
    return Result.succeed(f(view))
  } catch (defect) {
    return Result.fail({ _tag: "StepDefect", defect })
  }
}

/** Calls a pure function of the author with the context, and encodes its result. */
export const encodeWithContext = (
  scope: ExecutionScope,
  context: SagaContext.SagaContext,
  codec: Codec<any>,
  f: (view: SagaContext.View) => unknown
): Result.Result<Json | undefined, Obstacle> =>
  Result.flatMap(
    callWithContext(scope, context, (view) => JsonCodec.encode(codec, f(view))),
    (encoded) =>
      JsonCodec.isCodecIssue(encoded)
        ? Result.fail(obstacle("encode", encoded.message))
        : Result.succeed<Json | undefined>(encoded)
  )

/** A copy of the view with one more entry, or with another value for it. */
export const overlay = (view: SagaContext.View, name: string, value: unknown): SagaContext.View =>
  Object.assign(Object.create(null), view, { [name]: value })
