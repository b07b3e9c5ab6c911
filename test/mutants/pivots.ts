/** SPEC C18 and I26: what a pivot decides, and what becomes of failures behind it. */
import type { Mutant } from "./Mutant.ts"

const rules = "test/execution/rules/pivot.test.ts"
const laws = "test/execution/rules/laws.test.ts"
const definition = "test/definition/pivot.test.ts"
const manager = "test/orchestrator/pivot.test.ts"
const model = "test/ownership/pivots.test.ts"
const attempts = "test/participant/attempts.test.ts"

const evolution = "src/execution/rules/PivotEvolution.ts"
const forward = "src/execution/rules/ForwardEvolution.ts"
const decision = "src/execution/rules/PivotDecision.ts"
const phase = "src/execution/rules/PhaseDecision.ts"

const one = (what: string, file: string, find: string, replace: string, ...tests: ReadonlyArray<string>): Mutant => ({
  rule: "C18",
  what,
  file,
  find,
  replace,
  tests
})

export const pivots: ReadonlyArray<Mutant> = [
  one(
    "a refusal by hand counts as the answer of the service to whether a person's result counts",
    "src/execution/rules/TrustedResponse.ts",
    " || only.resolution !== undefined",
    "",
    rules
  ),
  one(
    "a wait that a person starts again waits longer each time",
    evolution,
    "{ deadline, startedAt: at }",
    "{ deadline }",
    rules
  ),

  // At the pivot.
  one(
    "what stands behind the pivot is waited for until participants forget",
    "src/definition/TimeBounds.ts",
    "SagaPath.reversible(definition)",
    "definition.steps",
    "test/definition/timeBounds.test.ts"
  ),
  one(
    "a request behind the pivot is kept for an undoing that never comes",
    "src/orchestrator/steps/RemoteStep.ts",
    "if (scope.state.passed) return undefined",
    "",
    manager
  ),
  one(
    "a pivot stands in a branch",
    "src/definition/PivotValidation.ts",
    '"Pivot" && path !==',
    '"Pivot" && !path.includes("/") && path !==',
    definition
  ),
  one(
    "a step behind the pivot has a compensation",
    "src/definition/PivotValidation.ts",
    "if (hasCompensation(step)) yield",
    "if (false) yield",
    definition
  ),
  one(
    "a staged effect stands behind the pivot",
    "src/definition/PivotValidation.ts",
    '?.effect === "staged"',
    "?.effect === undefined",
    definition
  ),
  one(
    "a rollback plan goes behind the pivot",
    "src/definition/RollbackPlan.ts",
    "Number.parseInt(path, 10) > reversible.length",
    "Number.parseInt(path, 10) < 0",
    definition
  ),
  one(
    "the pivot is passed before all have voted",
    evolution,
    "? TwoPhaseCommit.isReached(self.phase)\n",
    "? true\n",
    rules
  ),
  one(
    "nobody is asked to vote at the pivot",
    "src/execution/rules/SagaDecision.ts",
    'this.isAlone ? { _tag: "PivotPassed"',
    'true ? { _tag: "PivotPassed"',
    rules
  ),
  one(
    "the votes at a pivot end the saga",
    phase,
    'this.definition.steps[root.next]?._tag === "Pivot"',
    "false",
    rules,
    laws
  ),
  one(
    "a pivot decides nothing without a transaction",
    evolution,
    '    decision: "commit",',
    '    decision: self.enrolled.length === 0 ? null : "commit",',
    rules
  ),
  one(
    "nobody is told of the decision at a pivot",
    evolution,
    "return self.enrolled.length === 0\n    ? next",
    "return self.enrolled.length >= 0\n    ? next",
    rules
  ),
  one(
    "the decision of a pivot waits for the end to be told",
    "src/execution/rules/SagaDecision.ts",
    'if (passed && commitState === "committing") this.tellCommit()',
    "",
    rules
  ),
  one(
    "without autocommit a pivot leaves the end undecided",
    phase,
    'autocommit || decision === "commit"',
    "autocommit",
    rules
  ),
  one(
    "what is committed is settled while its steps run",
    "src/execution/rules/SagaState.ts",
    'self.commitState === "committed" && self.status === "finished"',
    'self.commitState === "committed"',
    rules
  ),
  one(
    "the decision of a pivot and the next step are two writes",
    "src/orchestrator/LoopPlan.ts",
    "next !== undefined && work.length > 1",
    "false",
    manager
  ),
  one(
    "nobody is told of the decision before a local step",
    "src/execution/rules/SagaDecision.ts",
    'if (self.commitState === "committing") return undefined\n',
    "",
    rules
  ),
  // Behind it.
  one(
    "a failure behind the pivot turns the execution back",
    forward,
    "if (self.passed) return { ...outer, current: failedTry(step, event) }",
    "",
    laws
  ),
  one(
    "a step that cannot begin behind the pivot is passed over",
    forward,
    "? { ...moved, current: failedTry(unstarted, event) }",
    "? { ...moved, rolledBack: push(unstarted, outer.rolledBack) }",
    rules
  ),
  one(
    "services join a transaction that is decided",
    "src/execution/rules/EnrolmentEvolution.ts",
    "if (next === before || next.passed) return next",
    "if (next === before) return next",
    rules,
    laws
  ),
  one(
    "services that a reply names behind the pivot fail its step",
    "src/execution/rules/EnrolmentEvolution.ts",
    "if (self.passed) return { services: none, issue: undefined }",
    "",
    rules
  ),
  one(
    "services that a reply names behind the pivot are not counted",
    "src/orchestrator/DroppedServices.ts",
    "if (!passed) return",
    "return",
    manager
  ),
  one(
    "messages behind the pivot open a transaction",
    "src/orchestrator/steps/RemoteStep.ts",
    "passed ? [] : ",
    "",
    manager
  ),
  one(
    "a refused step is asked with the same message",
    "src/execution/rules/SagaDecision.ts",
    "attemptOf(request.message.id) + 1",
    "attemptOf(request.message.id)",
    rules
  ),
  one(
    "a new message has the time of the first one",
    "src/orchestrator/steps/RemoteStep.ts",
    "const notAfter = Math.ceil(at + Math.max(maxMessageLifetime, wait))",
    "const notAfter = scope.state.notAfter || Math.ceil(at + Math.max(maxMessageLifetime, wait))",
    manager
  ),
  one(
    "a step that nobody answered is asked with a new message",
    evolution,
    "if (isUnanswered(step)) return",
    "if (false) return",
    rules
  ),
  one(
    "a stored reply is asked for again",
    evolution,
    'if (reply?.status === 200) return { status: "running-on-success" }',
    "",
    rules
  ),
  one(
    "an answer to an earlier message counts",
    forward,
    "attemptOf(step.request!.message.id) === attempt",
    "true",
    rules
  ),
  one(
    "a message out of turn is sent",
    forward,
    "attemptOf(request.message.id) === attemptOf(current.request.message.id) + 1",
    "true",
    rules
  ),
  one("a failure counts twice in one try", forward, "step.tries?.failedAt === undefined &&", "", rules),
  one(
    "a step is tried again at once",
    decision,
    "failedAt! + RetrySchedule.delay(failures, backoff)",
    "failedAt!",
    rules
  ),
  one(
    "a step is tried again without an end",
    decision,
    "failures > (isLate || isDone ? 0 : times)",
    "failures > (isLate || isDone ? 0 : Infinity)",
    rules
  ),
  one(
    "a wait whose time is over waits again by itself",
    decision,
    "failures > (isLate || isDone ? 0 : times)",
    "failures > (isDone ? 0 : times)",
    rules
  ),
  one(
    "a step whose result cannot be stored does its work again by itself",
    decision,
    "failures > (isLate || isDone ? 0 : times)",
    "failures > (isLate ? 0 : times)",
    rules,
    manager
  ),
  one(
    "a step that its transaction has undone counts as done",
    decision,
    'effect === "exists" && isLost(failure)',
    "isLost(failure)",
    rules
  ),
  one("a signal that comes too late is in vain", decision, "if (isLate && hasSignal)", "if (false)", rules),
  one(
    "a step that waits for a person is tried again",
    decision,
    "if (parked !== undefined) return Number.POSITIVE_INFINITY",
    "",
    laws
  ),
  one("the next try has the time that is over", evolution, "{ deadline, startedAt: at }", "{}", rules),
  one(
    "a late answer leaves the step parked",
    forward,
    "return enrol(unparked(withRoot(self, root), event.path), self",
    "return enrol(withRoot(self, root), self",
    laws,
    manager
  ),
  one(
    "callers are not told of a step that waits for a person",
    "src/orchestrator/Waiters.ts",
    'if (until !== "told" && isParkedForward(state)) return true',
    "",
    manager
  ),
  one(
    "a copy of an answer takes a step out of what is parked",
    forward,
    "if (root === self.root) return self\n",
    "",
    rules
  ),
  one(
    "what is decided can be cancelled",
    "src/execution/rules/SagaEvolution.ts",
    "  self.decision === null &&\n",
    "  (self.passed || self.decision === null) &&\n",
    model
  ),
  one("a parked step is among none", evolution, "parked: union(self.parked, [path])", "parked: self.parked", model),
  one(
    "a step behind the pivot is tried twice",
    "src/execution/rules/RetrySchedule.ts",
    "retryForward: { times: 10, backoff: { initial: 1_000, factor: 2, max: 5 * minute } }",
    "retryForward: { times: 1, backoff: { initial: 1_000, factor: 2, max: 5 * minute } }",
    rules
  ),
  one(
    "a failure behind the pivot stops the other branches",
    "src/execution/rules/SagaDecision.ts",
    "if (!complete) {",
    "if (!complete && passed && this.self.parked.length > 0) this.instructions.splice(0)\n      if (!complete) {",
    rules
  ),
  one(
    "a step without an answer is asked anew, though the one before may still act",
    evolution,
    "if (isUnanswered(step)) return { request: { ...request!, at, accepted: undefined }, reply: undefined }",
    'if (isUnanswered(step)) return { status: "created" }',
    model
  ),
  // A person.
  one("a person's retry has one try", evolution, "tries: { ...step.tries!, failures: 0 }", "tries: step.tries", rules),
  one(
    "a person's result need not fit",
    "src/execution/rules/ParkedInput.ts",
    'if (JsonCodec.isCodecIssue(decoded)) return refused("result", decoded.message)',
    "",
    rules
  ),
  one(
    "a person's result counts although the service may have done it",
    "src/execution/rules/ParkedInput.ts",
    "step.execute.probe && isUnanswered(state)",
    "false",
    rules,
    manager
  ),
  one(
    "what the service has done does not count over a person's result",
    evolution,
    'if (status === 200) return { ...answered(step, event), effect: "exists", resolution: undefined }',
    "",
    rules
  ),
  one(
    "a person's result is lost when the service has done nothing",
    evolution,
    "return given === undefined ? next : finished(next, path, given.result)",
    "return next",
    model
  ),
  one(
    "a person's result counts without an answer to the question",
    evolution,
    "if (step.resolution === undefined || status === 500) return step",
    "if (step.resolution === undefined) return step",
    rules
  ),
  one(
    "the late answer of a request that a person has given a result for is a try",
    "src/execution/rules/SagaInput.ts",
    "if (self.passed && stepAt(self.root, path)!.step.resolution !== undefined)",
    "if (false)",
    rules,
    model
  ),
  one(
    "a person is not told that the service has done it",
    "src/orchestrator/ManagerResult.ts",
    'last?._tag === "ProbeAnswered" && last.status === 200',
    "false",
    manager
  ),
  // Participants.
  one(
    "a participant refuses the next message of a step",
    "src/participant/ParticipantDecision.ts",
    "id === messageId(saga, path, op, attemptOf(id))",
    "id === messageId(saga, path, op)",
    attempts
  ),
  one(
    "a probe asks for the first message of its step",
    "src/participant/ParticipantDecision.ts",
    'messageId(saga, path ?? "", "execute", attemptOf(id))',
    'messageId(saga, path ?? "", "execute")',
    attempts
  )
]
