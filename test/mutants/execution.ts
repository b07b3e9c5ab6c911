/** SPEC C5 and C8: how an execution goes forward, turns round, and ends; what is tried again, and for how long. */
import type { Mutant } from "./Mutant.ts"

const decision = "test/execution/rules/SagaDecision.test.ts"
const input = "test/execution/rules/SagaInput.test.ts"
const schedule = "test/execution/rules/RetrySchedule.test.ts"
const laws = "test/execution/rules/laws.test.ts"
const remote = "test/orchestrator/steps/remote.test.ts"
const twoPhase = "test/orchestrator/twoPhaseCommit.test.ts"
const control = "test/orchestrator/ManagerControl.test.ts"
const outage = "test/orchestrator/outage.test.ts"

export const execution: ReadonlyArray<Mutant> = [
  // ---- forward -------------------------------------------------------------------------------------------------
  {
    rule: "C5",
    what: "a refusal (400) that nobody handles counts as success",
    file: "src/orchestrator/steps/RemoteStep.ts",
    find: "  return Effect.succeed(facts.failedWith(failure))",
    replace: `  return Effect.succeed({ _tag: "StepSucceeded", path, result: stored, recovered: true, at: facts.scope.clock.currentTimeMillisUnsafe() })`,
    tests: [remote]
  },
  {
    rule: "C5",
    what: "a callback of a reply that fails counts as success",
    file: "src/orchestrator/steps/RemoteStep.ts",
    find: "Exit.isSuccess(exit) ? facts.succeeded(exit.value, context) : facts.failed(exit.cause)",
    replace: `Exit.isSuccess(exit) ? facts.succeeded(exit.value, context) : ({ _tag: "StepSucceeded", path, at: scope.clock.currentTimeMillisUnsafe() } as SagaEvent)`,
    tests: [remote]
  },
  {
    rule: "C5",
    what: "a reply 500 goes to the handler of refusals",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: `status === 400 ? "running-on-error" : "errored-by-on-execute"`,
    replace: `"running-on-error"`,
    tests: [decision, remote]
  },
  {
    rule: "C5",
    what: "what was refused is compensated as if it had an effect",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: `effect: event.effect ?? (event.status === 200 ? "exists" : "none"),`,
    replace: `effect: "exists",`,
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a step waits for its reply beyond its deadline",
    file: "src/execution/rules/SagaDecision.ts",
    find: "} else if (this.isOver(deadline ?? Number.POSITIVE_INFINITY, request!.at, this.schedule.resend)) {",
    replace: "} else if (this.isOver(Number.MAX_SAFE_INTEGER, request!.at, this.schedule.resend)) {",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a step whose reply never came counts as one without effect",
    file: "src/execution/rules/SagaDecision.ts",
    find: `this.failed(path, "unknown"`,
    replace: `this.failed(path, "none"`,
    tests: [decision, outage]
  },
  {
    rule: "C5",
    what: "a request that cannot be published fails its step",
    file: "src/ports/Broker.ts",
    find: 'Effect.logWarning("A saga message could not be published now"',
    replace: 'Effect.die("A saga message could not be published now"',
    tests: [outage]
  },
  {
    rule: "C5",
    what: "without two-phase commit services are enrolled all the same",
    file: "src/execution/rules/EnrolmentEvolution.ts",
    find: "const enrolled = next.start?.transactional === true ? union(next.enrolled, services) : next.enrolled",
    replace: "const enrolled = union(next.enrolled, services)",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a service takes part only once it has answered",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `        self,
        [event.message.service],
        event.message.notAfter,`,
    replace: `        self,
        [],
        event.message.notAfter,`,
    tests: [decision]
  },
  {
    rule: "C5",
    what: "services that a reply names do not take part",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: "return enrol(unparked(withRoot(self, root), event.path), self, event.relatedServices, 0, event.at)",
    replace: "return enrol(unparked(withRoot(self, root), event.path), self, [], 0, event.at)",
    tests: [input]
  },
  {
    rule: "C5",
    what: "a reply may name services that are not allowed",
    file: "src/execution/rules/ReceivedReply.ts",
    find: "if (refused !== undefined) return",
    replace: "if (refused === null) return",
    tests: [input]
  },
  {
    rule: "C5",
    what: "services that are not allowed take part",
    file: "src/execution/rules/EnrolmentEvolution.ts",
    find: "  return { services, issue }",
    replace: "  return { services: named, issue }",
    tests: [input]
  },
  {
    rule: "C5",
    what: "an effect is left where its reply names services that are not allowed",
    file: "src/execution/rules/ReceivedReply.ts",
    find: `effect: status === 200 ? "exists" : "none",`,
    replace: `effect: "none",`,
    tests: [input]
  },

  // ---- which replies count -------------------------------------------------------------------------------------
  {
    rule: "C5",
    what: "an answer counts for whatever its sender was asked",
    file: "src/execution/rules/SagaInput.ts",
    find: "const awaited = awaitedUnder(self, answer.inReplyTo)",
    replace:
      "const awaited = awaiting(self).find(({ id, service }) => id === answer.inReplyTo || service === answer.sender)",
    tests: [input, twoPhase]
  },
  {
    rule: "C5",
    what: "an answer counts whoever sends it",
    file: "src/execution/rules/SagaInput.ts",
    find: `  if (answer.sender !== undefined && answer.sender !== awaited.service) return Result.fail("sender-mismatch")\n`,
    replace: "",
    tests: [input, twoPhase]
  },
  {
    rule: "C5",
    what: "a reply that comes after its probe was sent does not count",
    file: "src/execution/rules/SagaInput.ts",
    find: `if (isUnanswered(step)) add(step.request, direction === "forward" ? step.deadline : undefined)`,
    replace: `if (isUnanswered(step) && direction === "forward") add(step.request, step.deadline)`,
    tests: [control, input]
  },
  {
    rule: "C5",
    what: "a late answer does not reach a step that is parked",
    file: "src/execution/rules/SagaInput.ts",
    find: "const found: Array<Awaited> = []\n",
    replace: "const found: Array<Awaited> = []\n  if (step.parked !== undefined) return found\n",
    tests: [decision, input]
  },
  {
    rule: "C5",
    what: "a response without a request id answers the first of several that are awaited",
    file: "src/execution/rules/TrustedResponse.ts",
    find: "only !== undefined && others.length === 0 &&",
    replace: "only !== undefined && others.length >= 0 &&",
    tests: [input]
  },
  {
    rule: "C5",
    what: "a response to an errored execution is refused",
    file: "src/execution/rules/TrustedResponse.ts",
    find: `  if (status === "errored") return unchanged\n`,
    replace: "",
    tests: [input]
  },
  {
    rule: "C5",
    what: "a response to a finished execution is taken for nothing",
    file: "src/execution/rules/TrustedResponse.ts",
    find: `return status === "finished" ? Result.fail(new SagaExecutionAlreadyExecuted({ uuid, status })) : undefined`,
    replace: `return status === "finished" ? unchanged : undefined`,
    tests: [input]
  },

  // ---- two-phase commit -------------------------------------------------------------------------------------------
  {
    rule: "C5",
    what: "it is committed with the first vote",
    file: "src/execution/rules/TwoPhaseCommit.ts",
    find: `self === undefined || self.asks.every(({ status }) => status === "answered")`,
    replace: `self === undefined || self.asks.some(({ status }) => status === "answered")`,
    tests: [decision, twoPhase]
  },
  {
    rule: "C5",
    what: "it is committed without asking anybody",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `phase: TwoPhaseCommit.begin("reserve", self.enrolled, event.at)`,
    replace: `phase: TwoPhaseCommit.begin("reserve", [], event.at)`,
    tests: [twoPhase]
  },
  {
    rule: "C5",
    what: "a vote against it counts as one in favour",
    file: "src/execution/rules/SagaInput.ts",
    find: `  against === undefined
    ? [{ _tag: "VoteReceived"`,
    replace: `  against !== ""
    ? [{ _tag: "VoteReceived"`,
    tests: [twoPhase]
  },
  {
    rule: "C5",
    what: "votes are waited for without an end",
    file: "src/execution/rules/PhaseDecision.ts",
    find: "phase!.at + reserveTimeout",
    replace: "phase!.at + Number.POSITIVE_INFINITY",
    tests: [twoPhase]
  },
  {
    rule: "C5",
    what: "the own service votes yes although its hook fails",
    file: "src/orchestrator/steps/AskParticipants.ts",
    find: `answer("Refused")`,
    replace: "answer()",
    tests: [twoPhase]
  },
  {
    rule: "C5",
    what: "an execution without autocommit is committed by itself",
    file: "src/execution/rules/PhaseDecision.ts",
    find: `const commits = autocommit ||`,
    replace: "const commits = true ||",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a decision to commit is changed by a cancel",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `  self.direction === "forward" &&
  self.decision === null &&
  (self.status !== "finished" || self.commitState === "none" || self.commitState === "reserving")`,
    replace: `  self.direction === "forward"`,
    tests: [input, laws]
  },
  {
    rule: "C5",
    what: "nobody is told of a rejection",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: `phase: tells && self.enrolled.length > 0 ? TwoPhaseCommit.begin("reject", self.enrolled, at) : undefined`,
    replace: "phase: undefined",
    tests: [decision, twoPhase]
  },
  {
    rule: "C5",
    what: "a service that joins during a rollback is not told of the rejection",
    file: "src/execution/rules/EnrolmentEvolution.ts",
    find: `const tells = enrolled !== next.enrolled && (next.commitState === "rejecting" || next.commitState === "rejected")`,
    replace: "const tells = false",
    tests: [input]
  },
  {
    rule: "C5",
    what: "rejects wait until everything is compensated",
    file: "src/execution/rules/SagaDecision.ts",
    find: `if (commitState === "rejecting" && !isTold) this.agree`,
    replace: `if (commitState === "rejecting" && !isTold && status === "errored") this.agree`,
    tests: [twoPhase, decision]
  },
  {
    rule: "C5",
    what: "the end waits until all have acknowledged the rejection",
    file: "src/execution/rules/SagaDecision.ts",
    find: `if (status !== "errored" && this.rollBackFrame(root, this.definition.steps))`,
    replace: `if (status !== "errored" && this.rollBackFrame(root, this.definition.steps) && TwoPhaseCommit.isReached(phase))`,
    tests: [twoPhase]
  },
  {
    rule: "C5",
    what: "a failure without autocommit is told to all at once",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: `const tells = self.autocommit || self.start?.transactional !== true || self.commitState !== "none"`,
    replace: "const tells = true",
    tests: [decision, twoPhase]
  },

  // ---- rollback ------------------------------------------------------------------------------------------------
  {
    rule: "C5",
    what: "the step that failed is compensated after the one before it",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: `        : { ...outer, current }
    }
    // The step failed`,
    replace: `        : {
            ...outer,
            current: undefined,
            done:
              outer.done === undefined
                ? push(current, undefined)
                : push(outer.done.head, push(current, outer.done.tail))
          }
    }
    // The step failed`,
    tests: [decision]
  },
  {
    rule: "C5",
    what: "steps are compensated in the order they ran",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: "done: push(step.tries === undefined ? step : { ...step, tries: undefined }, outer.done),",
    replace:
      "done: outer.done === undefined ? push(step, undefined) : push(outer.done.head, push(step, outer.done.tail)),",
    tests: [decision, laws]
  },
  {
    rule: "C5",
    what: "a step without a reply is compensated without asking what became of it",
    file: "src/execution/rules/SagaDecision.ts",
    find: `if (effect === "exists" || (compensation.unknown`,
    replace: `if (effect !== "none" || (compensation.unknown`,
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a step without a reply is not compensated",
    file: "src/execution/rules/SagaDecision.ts",
    find: `if (effect === "none" || compensation === undefined) return this.compensated(path)`,
    replace: `if (effect !== "exists" || compensation === undefined) return this.compensated(path)`,
    tests: [decision, laws]
  },
  {
    rule: "C5",
    what: "a step whose service cannot be asked is not compensated",
    file: "src/execution/rules/SagaDecision.ts",
    find: `else this.park(path, "its effect is unknown and the service cannot be asked")`,
    replace: "else this.compensated(path)",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a local step whose effect is unknown is not compensated",
    file: "src/execution/rules/SagaDecision.ts",
    find: `this.park(path, "its effect is unknown")`,
    replace: "this.compensated(path)",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a step is compensated although its probe says that it has no effect",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: `        effect: event.status === 200 ? "exists" : "none",
        relatedServices`,
    replace: `        effect: "exists",
        relatedServices`,
    tests: [decision, laws]
  },
  {
    rule: "C5",
    what: "a 500 to a probe counts as no effect",
    file: "src/execution/rules/SagaInput.ts",
    find: `        ? [attemptFailed(self, path, content, moment)]
        : [{ _tag: "ProbeAnswered"`,
    replace: `        ? [{ _tag: "ProbeAnswered", path, status: 404, at }]
        : [{ _tag: "ProbeAnswered"`,
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a compensation that is not answered is never parked",
    file: "src/execution/rules/SagaDecision.ts",
    find: "if (this.isOver(end, sent.at, retry.backoff)) return this.park(",
    replace: "if (this.isOver(end, sent.at, retry.backoff)) return void (",
    tests: [laws]
  },
  {
    rule: "C5",
    what: "a parked step is not listed",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: "const parked = parks ? union(self.parked, [path]) : self.parked.filter((other) => other !== path)",
    replace: "const parked = self.parked.filter((other) => other !== path)",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "it says that all is compensated while a step is parked",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `status: "errored", alreadyRollback: self.parked.length === 0 && self.reopened.length === 0 }`,
    replace: `status: "errored", alreadyRollback: true }`,
    tests: [decision, laws]
  },
  {
    rule: "C5",
    what: "a late answer that there is an effect is not followed by its compensation",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: "reopened: union(next.reopened, [path]) }",
    replace: "reopened: next.reopened }",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a step does not get back the status that it had before it was compensated",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: `  status: step.statusBefore ?? step.status,
  statusBefore: undefined,`,
    replace: "  statusBefore: undefined,",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "another branch begins a step in the moment of the first failure",
    file: "src/execution/rules/SagaDecision.ts",
    find: "      if (failure !== undefined) this.facts.splice(0, this.facts.length, ...this.facts.filter(tookSignal), failure)\n",
    replace: "",
    tests: [decision]
  },
  {
    rule: "C5",
    what: "a running step of another branch is left to itself",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: `return self.direction === "backward" ? { ...outer, current: finished } : finish(outer, finished)`,
    replace: `return self.direction === "backward" ? { ...outer, current: undefined, rolledBack: push(finished, outer.rolledBack) } : finish(outer, finished)`,
    tests: [decision, laws]
  },

  // ---- C8 ------------------------------------------------------------------------------------------------------
  {
    rule: "C8",
    what: "a request is sent once only",
    file: "src/execution/rules/SagaDecision.ts",
    find: "this.resend(path, request!, this.schedule.resend)",
    replace: "",
    tests: [decision]
  },
  {
    rule: "C8",
    what: "a compensation is sent once only",
    file: "src/execution/rules/SagaDecision.ts",
    find: "    this.resend(state.path, sent, retry.backoff)\n",
    replace: "",
    tests: [decision]
  },
  {
    rule: "C8",
    what: "votes are asked for once only",
    file: "src/execution/rules/PhaseDecision.ts",
    find: `if (isDue || status === "new")`,
    replace: `if ((tag !== "Reserve" && isDue) || status === "new")`,
    tests: [twoPhase]
  },
  {
    rule: "C8",
    what: "a decision is told once only",
    file: "src/execution/rules/PhaseDecision.ts",
    find: `if (isDue || status === "new")`,
    replace: `if ((tag === "Reserve" && isDue) || status === "new")`,
    tests: [twoPhase]
  },
  {
    rule: "C8",
    what: "nobody is told of a service that does not answer to a decision",
    file: "src/execution/rules/PhaseDecision.ts",
    find: "RetrySchedule.dueAt(at, maxAttempts, backoff, id)",
    replace: "Number.MAX_SAFE_INTEGER",
    tests: [twoPhase]
  },
  {
    rule: "C8",
    what: "a service that does not answer to a decision is given up",
    file: "src/execution/rules/PhaseDecision.ts",
    find: `if (status === "answered") continue`,
    replace: `if (status === "answered" || stalled !== undefined) continue`,
    tests: [twoPhase]
  },
  {
    rule: "C8",
    what: "a compensation that is answered 500 is not tried again",
    file: "src/execution/rules/CompensationRetry.ts",
    find: "attempts <= times ? { retryAt: at + RetrySchedule.delay(attempts, backoff) } : {}",
    replace: "{}",
    tests: [input, decision]
  },
  {
    rule: "C8",
    what: "a request is sent every half minute for as long as it waits (F8)",
    file: "src/execution/rules/RetrySchedule.ts",
    find: "const end = isLater ? Number.POSITIVE_INFINITY : later.after",
    replace: "const end = Number.POSITIVE_INFINITY",
    tests: [schedule]
  },
  {
    rule: "C8",
    what: "a service that nobody listens to is sent everything again",
    file: "src/ports/UnheardPlaces.ts",
    find: "if (clock.monotonicTimeNanosUnsafe() - last < restAfter(last - since)) return false",
    replace: "",
    tests: ["test/adapters/mqtt/MqttOutgoing.test.ts"]
  },
  {
    rule: "C3",
    what: "a request runs nothing after a day, although its step waits for a month",
    file: "src/orchestrator/steps/RemoteStep.ts",
    find: "Math.max(maxMessageLifetime, wait)",
    replace: "maxMessageLifetime",
    tests: ["test/orchestrator/steps/remoteOverTime.test.ts"]
  }
]
