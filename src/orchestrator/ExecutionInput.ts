/** How an execution begins, and how a response of a trusted caller goes into one: the values, without storing them. */
import { Effect, Result } from "effect"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import type { Definition } from "../definition/SagaStep.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import { SagaContextEncodeError } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { storable } from "../ports/RequestHeaders.ts"
import { check, type Json } from "../wire/JsonLimits.ts"

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
  readonly now: number
}

/** The execution with the fact that starts it. */
export const started = (self: SagaExecution, options: StartOptions): SagaExecution => {
  const { autocommit, headers, now, service, takesPart, transactional } = options
  return Execution.evolve(self, {
    _tag: "ExecutionStarted",
    service,
    autocommit,
    transactional,
    ...(takesPart === true && transactional && { takesPart }),
    ...(headers !== undefined && { headers: storable(headers) }),
    at: now
  })
}

/** The content of a trusted response, if it is JSON within the limits (SPEC C11). */
export const contentOf = (content: unknown): Json | undefined | SagaContextEncodeError => {
  if (content === undefined) return undefined
  const checked = check(content)
  return typeof checked === "number"
    ? (content as Json) // `check` has walked it
    : new SagaContextEncodeError({ path: "", step: "", issue: checked.message })
}

/** The input of a trusted response. `autocommit` replaces the setting that the execution was started with. */
export const responding = Effect.fnUntraced(function* (
  response: SagaResponse,
  autocommit: boolean | undefined,
  policy: SagaInput.Policy
) {
  const content = contentOf(response.content)
  if (content instanceof SagaContextEncodeError) return yield* content
  return (
    state: SagaExecution["state"],
    definition: Definition,
    now: number
  ): SagaInput.Verdict<SagaInput.SagaExecutionAlreadyExecuted | SagaInput.SagaResponseAmbiguous> => {
    const answer = {
      status: response.status,
      ...(content !== undefined && { content }),
      relatedServices: response.relatedServices,
      ...(response.requestId !== undefined && { requestId: response.requestId })
    }
    return Result.map(SagaInput.response(state, answer, { ...policy, definition, now }), (facts) =>
      autocommit === undefined || autocommit === state.autocommit || facts.length === 0
        ? facts
        : [{ _tag: "AutocommitChanged", autocommit, at: now } as const, ...facts]
    )
  }
})
