/** How an execution begins, and how a response of a trusted caller goes into one: the values, without storing them. */
import { Effect, Schema } from "effect"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import {
  type Of,
  type Refusals,
  type SagaActorWithReason,
  type SagaInput,
  SagaResolutionRefused
} from "../execution/rules/SagaInput.ts"
import { SagaContextEncodeError } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { storable } from "../ports/RequestHeaders.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import type { Json } from "../wire/JsonLimits.ts"
import { normalize } from "../wire/Uuid.ts"
import type { ControlError, ExecutionSupervisor, Until } from "./ExecutionSupervisor.ts"

export interface StartOptions {
  /** Name of the own service. */
  readonly service: string
  readonly autocommit: boolean
  /** The committer enrols services (`TransactionCommitter.enrols`). */
  readonly transactional: boolean
  /** The own service has hooks. Default false. */
  readonly takesPart?: boolean
  /** Of the request that the caller serves. */
  readonly headers: Readonly<Record<string, string>> | undefined
  /** The W3C context of the span that starts it. Absent: it is not traced. */
  readonly trace?: string | undefined
  readonly now: number
}

/** The execution with the fact that starts it. */
export const started = (self: SagaExecution, options: StartOptions): SagaExecution => {
  const { autocommit, headers, now, service, takesPart, trace, transactional } = options
  const created = self.state.deadline === undefined ? Execution.timed(self, now) : self
  const fact = { _tag: "ExecutionStarted", service, autocommit, transactional, at: now } as const
  const isHooked = takesPart === true && transactional
  return Execution.evolve(
    created,
    isHooked || headers !== undefined || trace !== undefined
      ? {
          ...fact,
          ...(isHooked && { takesPart }),
          ...(headers !== undefined && { headers: storable(headers) }),
          ...(trace !== undefined && { trace, ...(transactional && { tracesEnd: true as const }) })
        }
      : fact
  )
}

/** The content of a trusted response, if it is JSON within the limits (SPEC C11). */
export const contentOf = (content: unknown): Json | undefined | SagaContextEncodeError => {
  const encoded = JsonCodec.encode(Schema.Unknown, content)
  return JsonCodec.isCodecIssue(encoded)
    ? new SagaContextEncodeError({ path: "", step: "", issue: encoded.message })
    : encoded
}

/** The input of a trusted response. `autocommit` replaces the setting that the execution was started with. */
export const responding = Effect.fnUntraced(function* (
  { content: given, relatedServices, requestId, status, step }: SagaResponse,
  autocommit: boolean | undefined
): Effect.fn.Return<Of<"Response">, SagaContextEncodeError> {
  const content = contentOf(given)
  if (content instanceof SagaContextEncodeError) return yield* content
  return {
    _tag: "Response",
    status,
    relatedServices,
    ...(content !== undefined && { content }),
    ...(requestId !== undefined && { requestId }),
    ...(step !== undefined && { step }),
    ...(autocommit !== undefined && { autocommit })
  }
})

/** The input of a person who resolves a parked step, if the result is JSON within the limits. Whether it fits, the rules say. */
export const resolving = (
  uuid: string,
  path: string,
  { actor, reason, result }: SagaActorWithReason & { readonly result?: Json | undefined }
): Effect.Effect<Of<"ResolveParked">, SagaResolutionRefused> => {
  const input = { _tag: "ResolveParked", path, actor, reason } as const
  if (result === undefined) return Effect.succeed(input)
  const content = contentOf(result)
  return content instanceof SagaContextEncodeError
    ? Effect.fail(new SagaResolutionRefused({ uuid, path, reason: "result", issue: content.issue }))
    : Effect.succeed({ ...input, result: content ?? null })
}

/** How long the sender of a signal or a cancel waits until the owner has judged it. Then it is left in the stored inbox. */
export const patience = "10 seconds"

/** Hands an input to its execution. It is refused only in the ways of its kind (`Refusals`). */
export const submit = <Input extends SagaInput>(
  supervisor: ExecutionSupervisor,
  uuid: string,
  input: Input,
  until?: Until | "told"
) =>
  supervisor.submit(normalize(uuid) ?? uuid, input, until) as Effect.Effect<
    SagaExecution,
    Refusals[Input["_tag"]] | ControlError
  > // `judge` has one function for each kind, with its refusals
