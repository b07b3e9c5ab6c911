/** The name by which people find a failure: a word, never a value of it (SPEC C12). */
import type { SagaFailure } from "../rules/SagaFailure.ts"

/** What a program calls an error. Any other text may be a value. */
const word = /^[A-Za-z][\w./-]{0,63}$/u

/** The tag of the error that the step declares, where it has one, else that of the failure. */
export const failureTag = (failure: SagaFailure): string => {
  if (failure._tag !== "StepError") return failure._tag
  const { error } = failure
  const tag = typeof error === "object" && error !== null && "_tag" in error ? error._tag : undefined
  return typeof tag === "string" && word.test(tag) ? tag : failure._tag
}
