/**
 * Tests of your sagas, without a test runner: what they give are effects and values. `run` plays one story of a saga, with answers
 * and signals that the test says, in virtual time; `crashPoints` stops its manager at every instruction.
 */
export {
  Answer,
  type Compensations,
  dies,
  error,
  late,
  type Replies,
  type Reply,
  type Said,
  silence,
  twice
} from "./Answer.ts"
export * from "./CrashPoints.ts"
export * from "./RunSaga.ts"
export * from "./Scenario.ts"
export { SagaTestReplyInvalid, SagaTestReplyMissing, type ScriptError } from "./Script.ts"
export type { Sent } from "./ScriptedServices.ts"
export * from "./Telling.ts"
