/** SPEC C7, C9, C12 and C14: what a crash leaves, who may say what, and what may be forgotten. */
import type { Mutant } from "./Mutant.ts"

const decision = "test/execution/rules/SagaDecision.test.ts"
const input = "test/execution/rules/SagaInput.test.ts"
const laws = "test/execution/rules/laws.test.ts"
const crash = "test/orchestrator/crash.test.ts"
const control = "test/orchestrator/ManagerControl.test.ts"
const start = "test/orchestrator/StartExecution.test.ts"
const twoPhase = "test/orchestrator/twoPhaseCommit.test.ts"
const wire = "test/participant/Participant.test.ts"
const instances = "test/orchestrator/instances.test.ts"
const overtaken = "test/orchestrator/twoOwners.test.ts"
const repository = "test/ports/SagaExecutionRepository.test.ts"
const store = "test/ports/ParticipantStore.test.ts"
const poison = "test/orchestrator/poison.test.ts"
const places = "test/orchestrator/places.test.ts"
const unreadable = "test/adapters/sql/unreadable.test.ts"

const waiting = "test/orchestrator/waiting.test.ts"

export const recovery: ReadonlyArray<Mutant> = [
  // ---- C7 ------------------------------------------------------------------------------------------------------
  {
    rule: "C7",
    what: "a half-done local step runs again, whatever its onCrash says",
    file: "src/execution/rules/Interruption.ts",
    find: `if (current.status !== "running-on-execute" || step.onCrash === "retry" || step.transactional) return`,
    replace: "if (current !== undefined) return",
    tests: [decision, crash]
  },
  {
    rule: "C7",
    what: "a half-done local step is compensated, though it may run again",
    file: "src/execution/rules/Interruption.ts",
    find: `if (current.status !== "running-on-execute" || step.onCrash === "retry" || step.transactional) return`,
    replace: `if (current.status !== "running-on-execute" || step.transactional) return`,
    tests: [decision, crash]
  },
  {
    rule: "C7",
    what: "a half-done transactional step is compensated, though it has left nothing",
    file: "src/execution/rules/Interruption.ts",
    find: `if (current.status !== "running-on-execute" || step.onCrash === "retry" || step.transactional) return`,
    replace: `if (current.status !== "running-on-execute" || step.onCrash === "retry") return`,
    tests: [decision]
  },
  {
    rule: "C7",
    what: "a half-done local step is compensated, though a person is to see it",
    file: "src/execution/rules/Interruption.ts",
    find: `return step.onCrash === "park"`,
    replace: `return step.onCrash === "retry"`,
    tests: [decision, crash]
  },
  {
    rule: "C7",
    what: "recovery does not look at half-done steps",
    file: "src/orchestrator/Recovery.ts",
    find: "active.resume(afterCrash(known.success, now), since, given ?? [], taken)",
    replace: "active.resume(known.success, since, given ?? [], taken)",
    tests: [crash]
  },
  {
    rule: "C7",
    what: "a reply goes on with an execution without looking at its half-done steps",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: "elsewhere === undefined ? afterCrash(execution, this.clock.currentTimeMillisUnsafe()) : execution",
    replace: "execution",
    tests: [instances]
  },
  {
    rule: "C7",
    what: "a reply goes on with an execution that somebody alive is at work on",
    file: "src/orchestrator/Takeover.ts",
    find: "if (holder !== membership.owner) return { execution, elsewhere: holder, isHeld: false }",
    replace: "if (holder !== membership.owner) return { execution, elsewhere: undefined, isHeld: false }",
    tests: [instances]
  },
  {
    rule: "C7",
    what: "a hook of the own service is called by two instances at once",
    file: "src/orchestrator/Takeover.ts",
    find: '(TwoPhaseCommit.pending(state.phase).includes(state.start?.service ?? "") ||',
    replace: "(false ||",
    tests: [overtaken]
  },
  {
    rule: "C7",
    what: "an execution is taken from somebody alive who is at work on it (memory)",
    file: "src/ports/Leases.ts",
    find: "hint.wakeAt === undefined && (spares === true || this.isAlive(hint.owner, now))",
    replace: "hint.wakeAt !== undefined && (spares === true || this.isAlive(hint.owner, now))",
    tests: [repository]
  },
  {
    rule: "C7",
    what: "an execution is taken from somebody alive who is at work on it (SQL)",
    file: "src/adapters/sql/OwnershipStatements.ts",
    find: "not (seen.wake_at is not distinct from 0 and coalesce(",
    replace: "not (seen.wake_at is null and coalesce(",
    tests: ["test/adapters/sql/SqlSagaExecutionRepository.test.ts"]
  },
  {
    rule: "C7",
    what: "after a crash what is not answered waits for its next resend",
    file: "src/orchestrator/Recovery.ts",
    find: "const since = isFirst ? never : (dueAt?.get(uuid) ?? never) - 1",
    replace: "const since = now",
    tests: [crash]
  },
  {
    rule: "C7",
    what: "after a crash a request is not sent again",
    file: "src/execution/rules/PhaseDecision.ts",
    find: "if (this.isDue(accepted ?? at, message.id, curve)) this",
    replace:
      "if (this.moment.since !== Number.NEGATIVE_INFINITY && this.isDue(accepted ?? at, message.id, curve)) this",
    tests: [decision, crash]
  },
  {
    rule: "C7",
    what: "after a crash nobody is asked or told of the phase again",
    file: "src/execution/rules/PhaseDecision.ts",
    find: `if (isDue || status === "new")`,
    replace: `if ((isDue && this.moment.since !== Number.NEGATIVE_INFINITY) || status === "new")`,
    tests: [twoPhase]
  },
  {
    rule: "C7",
    what: "replies are taken before recovery",
    file: "src/orchestrator/ManagerLive.ts",
    find: "  yield* Recovery.run({",
    replace: `  yield* Effect.forkScoped(ReplyConsumer.consume(manager), { startImmediately: true })
  yield* Recovery.run({`,
    tests: [crash]
  },
  {
    rule: "C7",
    what: "recovery looks once only, when it starts",
    file: "src/orchestrator/Recovery.ts",
    find: `yield* Loop.repeat("recovery", Effect.andThen(next, round(self)))`,
    replace: "yield* Effect.void",
    tests: [crash, "test/orchestrator/regressions.test.ts"]
  },
  {
    rule: "C7",
    what: "recovery takes what somebody alive has (memory)",
    file: "src/ports/Leases.ts",
    find: "return !this.isAlive(hint.owner, now)",
    replace: "return hint.owner !== undefined",
    tests: [repository]
  },
  {
    rule: "C7",
    what: "recovery takes what somebody alive has (SQL)",
    file: "src/adapters/sql/OwnershipStatements.ts",
    find: "and i.lease_until > clock_timestamp()\n                  )\n                  and (h.owner is null",
    replace:
      "and i.lease_until > clock_timestamp() + interval '1 day'\n                  )\n                  and (h.owner is null",
    tests: ["test/adapters/sql/SqlSagaExecutionRepository.test.ts"]
  },
  {
    rule: "C7",
    what: "recovery does not take what a dead process has (memory)",
    file: "src/ports/Leases.ts",
    find: "|| (this.until.get(owner) ?? now) > now",
    replace: "|| this.until.has(owner)",
    tests: [repository]
  },
  {
    rule: "C7",
    what: "recovery takes what is not due (memory)",
    file: "src/ports/Leases.ts",
    find: "(hint?.wakeAt ?? now) <= (dueBy ?? now)",
    replace: "(hint?.wakeAt ?? now) >= 0",
    tests: [repository]
  },
  {
    rule: "C7",
    what: "recovery does not take up a vote",
    file: "src/ports/Leases.ts",
    find: `  commitState === "reserving" ||\n`,
    replace: "",
    tests: [twoPhase]
  },
  {
    rule: "C7",
    what: "recovery does not take up a commit that is not acknowledged",
    file: "src/ports/Leases.ts",
    find: `  commitState === "committing" ||\n`,
    replace: "",
    tests: [twoPhase]
  },
  {
    rule: "C7",
    what: "recovery does not take up a reject that is not acknowledged",
    file: "src/ports/Leases.ts",
    find: `  commitState === "rejecting" ||\n`,
    replace: "",
    tests: [twoPhase]
  },
  {
    rule: "C7",
    what: "recovery takes what belongs to another program",
    file: "src/ports/Leases.ts",
    find: "        known?.has(state.creation.fingerprint) !== false &&\n",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C7",
    what: "a manager that is closed keeps its executions from others",
    file: "src/ports/SagaOwnership.ts",
    find: "Effect.suspend(() => Effect.ignore(this.repository.release(this.owner)))",
    replace: "Effect.void",
    tests: [crash]
  },
  {
    rule: "C7",
    what: "a participant asks after a restart only when the next question is due",
    file: "src/participant/ParticipantMaintenance.ts",
    find: "since ?? Number.NEGATIVE_INFINITY",
    replace: "since ?? now",
    tests: [wire]
  },

  // ---- C9 ------------------------------------------------------------------------------------------------------
  {
    rule: "C9",
    what: "the same key starts a second execution (memory)",
    file: "src/ports/SagaExecutionRepository.ts",
    find: "    return existing === undefined ? undefined : conflict(execution, existing)",
    replace: "    return existing === undefined ? undefined : undefined",
    tests: [repository, start]
  },
  {
    rule: "C9",
    what: "a key is free again when its execution is forgotten",
    file: "src/ports/SagaExecutionRepository.ts",
    find: "    if (left.startKey !== undefined) retiredStartKeys.set(left.startKey, left)\n",
    replace: "",
    tests: [repository, start]
  },
  {
    rule: "C9",
    what: "a uuid is free again when its execution is forgotten",
    file: "src/ports/SagaExecutionRepository.ts",
    find: "    if (isCallerGiven(uuid)) retiredUuids.set(uuid, left)\n",
    replace: "",
    tests: [repository, start]
  },
  {
    rule: "C9",
    what: "the same key with another context gives somebody else's execution",
    file: "src/orchestrator/StartConflict.ts",
    find: "contextHash(theirs) === contextHash(mine)",
    replace: "theirs !== mine",
    tests: [start]
  },
  {
    rule: "C9",
    what: "a uuid of version 7 may be given by a caller",
    file: "src/execution/view/SagaExecution.ts",
    find: `return Uuid.version(uuid) === "7"`,
    replace: `return Uuid.version(uuid) === "x"`,
    tests: ["test/execution/view/SagaExecution.raw.test.ts"]
  },
  {
    rule: "C9",
    what: "cancelling what is decided counts as done",
    file: "src/execution/rules/SagaInput.ts",
    find: `    ? Result.fail(new SagaNotCancellable({ uuid: self.uuid, status: self.status }))`,
    replace: "    ? unchanged",
    tests: [input, control]
  },
  {
    rule: "C9",
    what: "rejecting what is committed counts as done",
    file: "src/execution/rules/SagaInput.ts",
    find: `if (self.decision === "commit") return Result.fail(new SagaAlreadyDecided({ uuid: self.uuid, decision: "commit" }))`,
    replace: `if (self.decision === "commit") return unchanged`,
    tests: [input, control]
  },
  {
    rule: "C9",
    what: "committing twice is refused",
    file: "src/execution/rules/SagaInput.ts",
    find: `  if (self.decision === "commit") return unchanged
  if (self.status`,
    replace: `  if (self.decision === "commit")
    return Result.fail(new SagaAlreadyDecided({ uuid: self.uuid, decision: "commit" }))
  if (self.status`,
    tests: [input, control]
  },

  // ---- C12 -----------------------------------------------------------------------------------------------------
  {
    rule: "C12",
    what: "a message may say that it comes from another service than its sender",
    file: "src/ports/Broker.ts",
    find: "if (expected.from !== address.from)",
    replace: "if (expected.from === undefined)",
    tests: ["test/ports/Broker.test.ts"]
  },
  {
    rule: "C12",
    what: "another coordinator may decide about a transaction",
    file: "src/participant/ParticipantDecision.ts",
    find: `  if (own !== undefined && isForeign(own)) return { _tag: "PutAway", fault: "SenderMismatch" }\n`,
    replace: "",
    tests: [wire]
  },
  {
    rule: "C12",
    what: "another coordinator may undo what belongs to no transaction",
    file: "src/participant/ParticipantDecision.ts",
    find: `    if (isForeign(barrier)) return { _tag: "PutAway", fault: "SenderMismatch" }\n`,
    replace: "",
    tests: [wire]
  },
  {
    rule: "C12",
    what: "the first message of a coordinator does not bind it",
    file: "src/participant/ParticipantDecision.ts",
    find: "coordinator: known.coordinator ?? (known.uuid === envelope.saga ? envelope.coordinator : undefined)",
    replace: "coordinator: known.coordinator",
    tests: ["test/participant/innerSaga.test.ts"]
  },
  {
    rule: "C12",
    what: "what a service says is kept with the execution, whatever it is",
    file: "src/execution/rules/SagaInput.ts",
    find: `wordOf(content) ?? "Refused"`,
    replace: `typeof content === "string" ? content : "Refused"`,
    tests: [twoPhase]
  },
  {
    rule: "C12",
    what: "a dead letter has the message in it",
    file: "src/ports/DeadLetters.ts",
    find: "sha256: sha256OfText(body)",
    replace: "sha256: String(body)",
    tests: [wire, "test/orchestrator/ReplyConsumer.deadLetters.test.ts"]
  },

  // ---- C14 -----------------------------------------------------------------------------------------------------
  {
    rule: "C14",
    what: "a decision to commit is forgotten before all have acknowledged it",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `phase: TwoPhaseCommit.begin("commit", self.enrolled, event.at)`,
    replace: "phase: undefined",
    tests: [twoPhase, decision]
  },
  {
    rule: "C14",
    what: "an execution is forgotten while it is being committed",
    file: "src/execution/rules/SagaState.ts",
    find: `export const isSettled = (self: SagaState): boolean =>
  (self.commitState === "committed" && self.status === "finished") ||`,
    replace: `export const isSettled = (self: SagaState): boolean =>
  self.status === "finished" ||`,
    tests: [twoPhase, laws]
  },
  {
    rule: "C14",
    what: "an execution is forgotten while a step of it is parked",
    file: "src/execution/rules/SagaState.ts",
    find: `    self.status === "errored" &&
    self.parked.length === 0 &&
    self.reopened.length === 0)`,
    replace: `    self.status === "errored")`,
    tests: [laws, control, repository]
  },
  {
    rule: "C14",
    what: "a participant forgets an effect that is not compensated yet (memory)",
    file: "src/ports/ParticipantStore.ts",
    find: `(status === "rejected" && !open.has(uuid))`,
    replace: `status === "rejected"`,
    tests: [store, wire]
  },
  {
    rule: "C14",
    what: "a participant forgets what is not decided (memory)",
    file: "src/ports/ParticipantStore.ts",
    find: `!(status === "committed" || (status === "rejected" && !open.has(uuid)))`,
    replace: "open.has(uuid)",
    tests: [store]
  },
  {
    rule: "C14",
    what: "a participant forgets what may still be asked about (memory)",
    file: "src/ports/ParticipantStore.ts",
    find: "if (notAfter >= before || waiting",
    replace: "if (waiting",
    tests: [store, wire]
  },
  {
    rule: "C14",
    what: "a participant forgets a message without a transaction too early (memory)",
    file: "src/ports/ParticipantStore.ts",
    find: "left > 0 && keepUntil < alone",
    replace: "left > 0",
    tests: [store]
  },
  {
    rule: "C14",
    what: "a participant forgets as soon as nothing may run, whatever the clocks say",
    file: "src/participant/ParticipantMaintenance.ts",
    find: "const before = now - maxSkew",
    replace: "const before = now",
    tests: [wire]
  },
  {
    rule: "C14",
    what: "a participant forgets messages without a transaction as early as others",
    file: "src/participant/ParticipantMaintenance.ts",
    find: "alone: before - participantRetention",
    replace: "alone: before",
    tests: [wire]
  },
  {
    rule: "C14",
    what: "a participant keeps a transaction for the time of its last message only",
    file: "src/participant/KeptTimes.ts",
    find: "Math.max(known?.notAfter ?? 0, believed(notAfter, now))",
    replace: "believed(notAfter, now)",
    tests: [wire]
  },
  {
    rule: "C14",
    what: "an effect counts as not compensated for ever",
    file: "src/participant/HandleMessage.ts",
    find: 'barriers: [{ ...executed, effect: "none", open: false }]',
    replace: "barriers: [executed]",
    tests: [wire, "test/participant/ParticipantDecision.test.ts"]
  },
  {
    rule: "C14",
    what: "what nothing can undo is never forgotten",
    file: "src/participant/ParticipantHandlers.ts",
    find: `open: effect === "immediate" && compensable !== false`,
    replace: `open: effect === "immediate"`,
    tests: [wire]
  },

  // ---- C20, I29: stops, absences, defects --------------------------------------------------------------------------
  {
    rule: "C7",
    what: "a process that stops begins the next step",
    file: "src/orchestrator/LoopPlan.ts",
    find: "if (self.inbox.stop !== undefined || self.unreadable !== undefined) return stopping",
    replace: "if (self.unreadable !== undefined) return stopping",
    tests: ["test/orchestrator/shutdown.test.ts"]
  },
  {
    rule: "C7",
    what: "a participant that stops interrupts its handlers",
    file: "src/ports/Consumer.ts",
    find: "grace !== undefined && Exit.hasInterrupts(exit)",
    replace: "grace !== undefined && group.kinds.length === 0",
    tests: ["test/orchestrator/shutdown.test.ts"]
  },
  {
    rule: "C7",
    what: "a process that stops lets its lease end while a step does",
    file: "src/orchestrator/ManagerLive.ts",
    find: "  yield* Effect.addFinalizer(() => Effect.andThen(ShutdownGrace.briefly(stops), supervisor.close))\n",
    replace: "",
    tests: ["test/orchestrator/shutdown.test.ts"]
  },
  {
    rule: "C7",
    what: "a result that is being stored when the grace is over is lost",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "    self.inbox.isWriting = true\n",
    replace: "",
    tests: ["test/orchestrator/shutdown.test.ts"]
  },
  {
    rule: "C7",
    what: "each part of a program that stops takes a grace of its own",
    file: "src/ports/ShutdownGrace.ts",
    find: "if (this.stopping++ === 0 && now - this.stopped > longestGap) this.since = now",
    replace: "this.since = now",
    tests: ["test/ports/ShutdownGrace.test.ts"]
  },
  {
    rule: "C7",
    what: "a process that stops waits for work that cannot be interrupted",
    file: "src/ports/ShutdownGrace.ts",
    find: "!SteadyClock.isReal(fiber.getRef(Clock.Clock))",
    replace: "fiber.getRef(Clock.Clock) !== undefined",
    tests: ["test/ports/ShutdownGrace.test.ts"]
  },
  {
    rule: "C20",
    what: "facts are given up when the store is away for long",
    file: "src/orchestrator/RecordFacts.ts",
    find: "if (!isKept(self)) return first",
    replace: "return first",
    tests: ["test/orchestrator/outage.test.ts"]
  },
  {
    rule: "C20",
    what: "a summary row stays as another process has written it",
    file: "src/adapters/sql/WrittenSummaries.ts",
    find: "known.revision === state.revision && ",
    replace: "",
    tests: ["test/adapters/sql/summary.test.ts"]
  },
  {
    rule: "I29",
    what: "a defect ends a loop",
    file: "src/ports/Loop.ts",
    find: "undying(vital, Effect.forever(beating))",
    replace: "Effect.forever(beating)",
    tests: ["test/ports/Loop.test.ts"]
  },
  {
    rule: "I29",
    what: "an execution whose runners die is tried again for ever",
    file: "src/orchestrator/Slot.ts",
    find: "if (deaths === maxDeaths)",
    replace: "if (deaths === -1)",
    tests: ["test/orchestrator/poison.test.ts"]
  },
  {
    rule: "I29",
    what: "a defect of the first claim keeps a process from starting",
    file: "src/orchestrator/Recovery.ts",
    find: `yield* Loop.aside(round(self), { loop: "recovery" }, true)`,
    replace: "yield* round(self)",
    tests: ["test/orchestrator/poison.test.ts"]
  },
  {
    rule: "C9",
    what: "a commit after the decision to reject says that the execution is not finished",
    file: "src/execution/rules/SagaInput.ts",
    find: `return self.decision === "reject"
        ? Result`,
    replace: `return self.decision === null && self.commitState === "rejected"
        ? Result`,
    tests: [input, control]
  },
  {
    rule: "C5",
    what: "a response with another autocommit does not change it",
    file: "src/execution/rules/SagaInput.ts",
    find: "autocommit === undefined || autocommit === self.autocommit || facts.length === 0",
    replace: "autocommit !== null || facts.length === 0",
    tests: [input]
  },

  // ---- what may be forgotten -------------------------------------------------------------------------------------
  {
    rule: "C14",
    what: "a person acknowledges a commit in place of the service",
    file: "src/execution/rules/TwoPhaseCommit.ts",
    find: `self.op === "commit" ? change(`,
    replace: `self.op === "reserve" ? change(`,
    tests: [decision, twoPhase]
  },
  {
    rule: "C8",
    what: "a service that a person has looked at is listed for ever",
    file: "src/execution/rules/TwoPhaseCommit.ts",
    find: "stalled === undefined || seen ? []",
    replace: "stalled === undefined ? []",
    tests: [decision, twoPhase]
  },

  // ---- places of runners -----------------------------------------------------------------------------------------
  {
    rule: "I20",
    what: "timers and replies start runners beyond maxRunning",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: "if (this.admission.hasRoom || this.isClosed || this.stepWaits.has(uuid)) return launch()",
    replace: "if (uuid !== undefined) return launch()",
    tests: [places]
  },
  {
    rule: "C7",
    what: "the end of an execution that comes while its runner ends is told to nobody",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: `      onEnd?.(exit)
      this.ended(uuid, exit)
`,
    replace: `      this.ended(uuid, exit)
      onEnd?.(exit)
`,
    tests: ["test/orchestrator/startRace.test.ts"]
  },
  {
    rule: "I20",
    what: "a step and the execution that it waits for wait for each other's place",
    file: "src/orchestrator/StepWaits.ts",
    find: "return this.counts.has(uuid)",
    replace: "return this.counts.has(uuid) && uuid === undefined",
    tests: [places]
  },
  {
    rule: "I20",
    what: "a start that gives up keeps its place",
    file: "src/orchestrator/Admission.ts",
    find: "    if (turn.isPromised) this.taken--\n",
    replace: "",
    tests: [places]
  },
  {
    rule: "C13",
    what: "a reply waits behind what is due",
    file: "src/orchestrator/RunnerQueue.ts",
    find: `const order: ReadonlyArray<Urgency> = ["decision", "reply", "due"]`,
    replace: `const order: ReadonlyArray<Urgency> = ["decision", "due", "reply"]`,
    tests: [places]
  },
  {
    rule: "C13",
    what: "a start gets a place before a reply that waits",
    file: "src/orchestrator/Admission.ts",
    find: "    const launch = this.queue.next()\n",
    replace: "    const launch = this.starts.length > 0 ? undefined : this.queue.next()\n",
    tests: [places]
  },
  {
    rule: "C13",
    what: "runners wait for a place without a bound",
    file: "src/orchestrator/Admission.ts",
    find: "return this.queue.size >= this.maxPending",
    replace: "return this.queue.size < 0",
    tests: [places]
  },

  // ---- what is set aside -----------------------------------------------------------------------------------------
  {
    rule: "F13",
    what: "an execution that is set aside is claimed again",
    file: "src/ports/Leases.ts",
    find: `setAside !== "parked" &&`,
    replace: `(setAside !== "parked" || true) &&`,
    tests: [repository]
  },
  {
    rule: "F13",
    what: "an execution that is set aside is decided all the same",
    file: "src/execution/rules/SagaDecision.ts",
    find: `  if (self.setAside !== undefined) return self.setAside === "retried"`,
    replace: `  if (self.setAside === "retried") return self.setAside === "retried"`,
    tests: [decision, poison]
  },
  {
    rule: "C20",
    what: "a runner that was lost without a lease leaves requests that nobody sends again",
    file: "src/orchestrator/Slot.ts",
    find: "run(undefined, never, inputs)",
    replace: "run(undefined, isBack ? never : 1_000, inputs)",
    tests: ["test/orchestrator/Slot.test.ts"]
  },
  {
    rule: "F13",
    what: "an execution whose write is refused for good is in no list",
    file: "src/orchestrator/Slot.ts",
    find: "isRefused(cause) ? [setAside, ...told] : told",
    replace: "told",
    tests: [poison]
  },
  {
    rule: "F13",
    what: "an execution whose runners die is set aside in the log only",
    file: "src/orchestrator/SetAside.ts",
    find: "yield* repository.store(parked, { wakeAt: Number.POSITIVE_INFINITY })",
    replace: "yield* Effect.void",
    tests: [poison]
  },
  {
    rule: "F13",
    what: "a person cannot retry an execution that is set aside",
    file: "src/execution/rules/ParkedInput.ts",
    find: `|| (path === whole && self.setAside === "parked")`,
    replace: "",
    tests: [decision, poison]
  },

  // ---- what cannot be read ---------------------------------------------------------------------------------------
  {
    rule: "I16",
    what: "a stored fact that does not fit is skipped in silence",
    file: "src/execution/view/SagaExecution.ts",
    find: "if (next === state) return new SagaDecodeError",
    replace: "if (next === undefined) return new SagaDecodeError",
    tests: [poison, unreadable]
  },
  {
    rule: "C20",
    what: "an execution that a process cannot read stays with it",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: `    if (unreadable.length > 0) yield* call("claim", statements.disown(owner, unreadable))\n`,
    replace: "",
    tests: [unreadable]
  },
  {
    rule: "C20",
    what: "an execution that a process cannot read is claimed by it again and again",
    file: "src/orchestrator/Recovery.ts",
    find: "...(except.length > 0 && { except }),",
    replace: "",
    tests: [poison]
  },
  {
    rule: "C20",
    what: "claim gives an execution although its owner cannot read it",
    file: "src/adapters/sql/OwnershipStatements.ts",
    find: "except.length === 0 ? sql``",
    replace: "except.length >= 0 ? sql``",
    tests: [unreadable]
  },
  {
    rule: "F13",
    what: "an execution that cannot be read is loaded again every few seconds",
    file: "src/orchestrator/Slot.ts",
    find: `reason.error.reason !== "unavailable")`,
    replace: `reason.error.reason === "rejected")`,
    tests: ["test/orchestrator/outage.test.ts"]
  },
  {
    rule: "F7",
    what: "every instance that has seen an execution wait goes on with it by itself",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: "if (this.admission.get(uuid) === undefined) return this.options.dueAt(output.at)",
    replace: "",
    tests: ["test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "C16",
    what: "the refusal of an input that was handed on is not written",
    file: "src/orchestrator/StoredInput.ts",
    find: `  const said = who.actor === undefined ? who : { action: input._tag, ...who }
  return Result.isFailure(refused)`,
    replace: `  const said = who.actor === undefined ? who : { action: input._tag, ...who }
  return Result.isFailure(refused) && id === ""`,
    tests: ["test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "C7",
    what: "executions that take too long to be read together are claimed together, again and again",
    file: "src/orchestrator/Recovery.ts",
    find: "Math.max(1, self.batch >> 1)",
    replace: "self.batch",
    tests: ["test/orchestrator/Recovery.test.ts"]
  },
  {
    rule: "I28",
    what: "a claim whose answer comes late runs an execution again from the state that it has read",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: `claimed === "unknown" ? undefined`,
    replace: `claimed === "stands" ? undefined`,
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "I28",
    what: "an execution that its runner has left since a claim took it goes on from what the claim has read",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: `if (claimed === "left") return`,
    replace: "",
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "C20",
    what: "a process counts as alive before its first claim",
    file: "src/ports/SagaOwnership.ts",
    find: "(this.isJoined && this.isRenewed(now, this.renewedFor(uuid)))",
    replace: "this.isRenewed(now, this.renewedFor(uuid))",
    tests: ["test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "I28",
    what: "an execution that was given back since a claim took it counts as held",
    file: "src/orchestrator/Admission.ts",
    find: "exit.value.isGivenBack !== true",
    replace: "true",
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "I28",
    what: "the last of several runners hides what an earlier one did since the claim",
    file: "src/orchestrator/Admission.ts",
    find: "Math.max(this.endedSince.get(uuid) ?? 0, lastChange(exit))",
    replace: "lastChange(exit)",
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "C20",
    what: "an execution whose last write is under way counts as lost when another instance is quicker",
    file: "src/orchestrator/Admission.ts",
    find: "slot.inbox.isWriting && slot.inbox.isLeaving",
    replace: "false",
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "C20",
    what: "rows of the stored inbox are judged by an instance that has lost their execution",
    file: "src/orchestrator/Slot.ts",
    find: "isBack || stored === undefined",
    replace: "true",
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "C16",
    what: "a row that a runner begins with is judged again when a late claim brings it",
    file: "src/orchestrator/Inbox.ts",
    find: "seen: ids.length === 0 ? undefined : new Set(ids),",
    replace: "seen: undefined,",
    tests: ["test/orchestrator/places.test.ts"]
  },
  {
    rule: "I29",
    what: "a launch that throws keeps all others from their places",
    file: "src/orchestrator/Admission.ts",
    find: `    } finally {
      this.isHandingOut = false
    }`,
    replace: `      this.isHandingOut = false
    } finally {
    }`,
    tests: [places]
  },
  {
    rule: "C20",
    what: "an execution without facts stays claimed in silence",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "        else unreadable.push(uuid)",
    replace: "        else if (execution !== undefined) unreadable.push(uuid)",
    tests: [unreadable]
  },
  {
    rule: "I20",
    what: "a claim reads all inputs that wait, however large they are",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "statements.ofClaim.inbox(mine, maxInboxBytes)",
    replace: "statements.ofClaim.inbox(mine)",
    tests: [unreadable]
  },
  {
    rule: "C20",
    what: "each execution that has only something to send again gets a runner (F8)",
    file: "src/orchestrator/Recovery.ts",
    find: "const isQuiet = given === undefined && active.isIdle(uuid, taken)",
    replace: "const isQuiet = false",
    tests: [waiting]
  },
  {
    rule: "C7",
    what: "room that gets free waits for the next interval (F12)",
    file: "src/orchestrator/Recovery.ts",
    find: "        active.whenRoom(next.now)\n",
    replace: "",
    tests: [waiting]
  },
  {
    rule: "C13",
    what: "maxPending counts what only waits (F12)",
    file: "src/orchestrator/Admission.ts",
    find: "return this.slots.size - this.asleep",
    replace: "return this.slots.size",
    tests: [waiting]
  },
  {
    rule: "C7",
    what: "each execution that callers wait for is loaded in every round (F8)",
    file: "src/orchestrator/Lookout.ts",
    find: "Effect.catchTag(repository.ended(uuids, orPaused),",
    replace: "Effect.catchTag(Effect.as(repository.ended(uuids, orPaused), uuids),",
    tests: [waiting]
  }
]
