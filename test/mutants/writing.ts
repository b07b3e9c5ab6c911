/** SPEC C3 and C4: what a message is, and what is written down before something happens. */
import type { Mutant } from "./Mutant.ts"

const decision = "test/execution/rules/SagaDecision.test.ts"
const twoPhase = "test/orchestrator/twoPhaseCommit.test.ts"
const crash = "test/orchestrator/crash.test.ts"
const outage = "test/orchestrator/outage.test.ts"
const instances = "test/orchestrator/instances.test.ts"
const overtaken = "test/orchestrator/twoOwners.test.ts"
const participant = "test/participant/HandleMessage.test.ts"
const wire = "test/participant/Participant.test.ts"
const table = "test/participant/ParticipantDecision.test.ts"
const repository = "test/ports/SagaExecutionRepository.test.ts"
const sqlRepository = "test/adapters/sql/SqlSagaExecutionRepository.test.ts"
const sqlStore = "test/adapters/sql/SqlParticipantStore.test.ts"
const sqlUnit = "test/adapters/sql/unitOfWork.test.ts"
const sqlSteps = "test/adapters/sql/transactionalSteps.test.ts"
const transactional = "test/orchestrator/TransactionalStep.test.ts"

export const writing: ReadonlyArray<Mutant> = [
  {
    rule: "I10",
    what: "starts with one key that are written by one statement are all written",
    file: "src/adapters/sql/WriteStatements.ts",
    find: "where (name, uuid) not in (select name, uuid from keyed union all select name, uuid from named)",
    replace: "where name not in (select name from keyed union all select name from named)",
    tests: [sqlRepository]
  },
  {
    rule: "C9",
    what: "a start that comes too late for its key uses up its uuid",
    file: "src/adapters/sql/WriteStatements.ts",
    find: `and ("startKey" is null or uuid in (select uuid from keyed))`,
    replace: "",
    tests: [sqlRepository]
  },
  // ---- C3 ------------------------------------------------------------------------------------------------------
  {
    rule: "C3",
    what: "the bytes of a message depend on who has made it",
    file: "src/ports/Broker.ts",
    find: "body: stringify(envelope)",
    replace: "body: JSON.stringify(envelope)",
    tests: ["test/ports/Broker.test.ts"]
  },
  {
    rule: "C3",
    what: "a message that is sent again may run longer",
    file: "src/orchestrator/Resends.ts",
    find: "Broker.publishAgain(broker, message, command)",
    replace: "Broker.publishAgain(broker, { ...message, notAfter: Date.now() }, command)",
    tests: [crash, outage]
  },
  {
    rule: "C3",
    what: "a compensation may run longer than the request that it compensates",
    file: "src/orchestrator/steps/RemoteStep.ts",
    find: "content.success, lifetime(scope, state))",
    replace: "content.success, at + scope.schedule.maxMessageLifetime)",
    tests: ["test/orchestrator/steps/remote.test.ts"]
  },
  {
    rule: "C3",
    what: "what is sent late has the time of the first request, not of the latest",
    file: "src/execution/rules/EnrolmentEvolution.ts",
    find: "notAfter: Math.max(next.notAfter, notAfter)",
    replace: "notAfter: next.notAfter === 0 ? notAfter : next.notAfter",
    tests: [decision]
  },
  {
    rule: "C3",
    what: "a reply has the id of its request",
    file: "src/wire/Envelope.ts",
    find: ": `${id}:reply`,",
    replace: ": id,",
    tests: ["test/wire/Envelope.test.ts"]
  },
  {
    rule: "C3",
    what: "an id says nothing about what the message is about",
    file: "src/participant/ParticipantDecision.ts",
    find: "return path !== undefined && id === messageId(saga, path, op)",
    replace: "return path !== undefined",
    tests: [wire]
  },
  {
    rule: "C3",
    what: "a transaction is opened where nobody ends it",
    file: "src/orchestrator/steps/RemoteStep.ts",
    find: "start?.transactional === true ? [...ambient, uuid] : ambient",
    replace: "[...ambient, uuid]",
    tests: ["test/orchestrator/steps/remote.test.ts"]
  },
  {
    rule: "C3",
    what: "a reserve names steps that have no effect at the service",
    file: "src/execution/rules/TwoPhaseCommit.ts",
    find: 'if (request?.message.service === service && effect === "exists") paths.push(path)',
    replace: "if (request?.message.service === service) paths.push(path)",
    tests: [decision, twoPhase]
  },
  {
    rule: "C3",
    what: "404 answers an execute",
    file: "src/execution/rules/SagaInput.ts",
    find: "return status === 404 ? nothing : received(",
    replace: "return received(",
    tests: ["test/execution/rules/SagaInput.test.ts"]
  },
  {
    rule: "C3",
    what: "a refusal is answered and not recorded: a later delivery runs it",
    file: "src/participant/HandleMessage.ts",
    find: "return conclude(work, work.failed, { transactions })",
    replace: `return Effect.succeed({ _tag: "applied", ...bodyOf(envelope, work.failed) } as const)`,
    tests: [participant]
  },

  // ---- W1 ------------------------------------------------------------------------------------------------------
  {
    rule: "W1",
    what: "a message leaves before it is stored",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "const storing = store.now?.(execution, hint, self.fiber) ?? store(execution, hint)",
    replace: `const early = Effect.forEach(Execution.unstoredMessages(execution) ?? [], ({ command, message }) =>
      Broker.publishOrWarn(broker, message, command)
    )
    self.announces = false
    const storing = Effect.andThen(early, repository.store(execution, hint))`,
    tests: [twoPhase, crash]
  },
  {
    rule: "W1",
    what: "services are asked for their votes before that is stored",
    file: "src/execution/rules/Instruction.ts",
    find: `    case "Resend":
    case "Reserve":
    case "Commit":`,
    replace: `    case "Resend":
    case "Commit":`,
    tests: [decision]
  },
  {
    rule: "W1",
    what: "a message that was stored is not sent",
    file: "src/orchestrator/RecordFacts.ts",
    find: "return membership?.isAlive(undefined, stored.uuid) === false ? undefined : announce(broker, written, self.trace)",
    replace: "return undefined",
    tests: ["test/orchestrator/steps/remote.test.ts", crash]
  },

  // ---- W2 ------------------------------------------------------------------------------------------------------
  {
    rule: "W2",
    what: "a reply is acknowledged before its consequence is stored",
    file: "src/orchestrator/ReplyConsumer.ts",
    find: "return Effect.flatMap(manager.reply(answer.success.envelope.saga, reply), (outcome)",
    replace:
      "return Effect.flatMap(Effect.andThen(delivery.acknowledge, manager.reply(answer.success.envelope.saga, reply)), (outcome)",
    tests: ["test/orchestrator/ReplyConsumer.test.ts"]
  },
  {
    rule: "W2",
    what: "a command is acknowledged before its outcome is recorded",
    file: "src/participant/TakeMessages.ts",
    find: `taker.places.inTurn(message, handled, "busy")`,
    replace: `Effect.andThen(delivery.acknowledge, handled)`,
    tests: ["test/participant/crash.test.ts"]
  },
  {
    rule: "W2",
    what: "what a participant refuses is acknowledged and not kept as a dead letter",
    file: "src/participant/TakeMessages.ts",
    find: "  yield* DeadLetters.keep(delivery, reason)\n",
    replace: "",
    tests: [wire]
  },
  {
    rule: "W2",
    what: "a reply that is refused is acknowledged and not kept as a dead letter",
    file: "src/orchestrator/ReplyConsumer.ts",
    find: "  yield* DeadLetters.keep(delivery, reason)\n",
    replace: "",
    tests: ["test/orchestrator/ReplyConsumer.deadLetters.test.ts"]
  },

  // ---- W3 ------------------------------------------------------------------------------------------------------
  {
    rule: "W3",
    what: "what a unit has saved stays when the unit fails",
    file: "src/ports/ParticipantStore.ts",
    find: "if (barriers.length + transactions.length > 0) saved.push(records)",
    replace: `for (const it of transactions) kept.transactions.set(it.uuid, it)
              for (const it of barriers) kept.barriers.set(it.id, it)`,
    tests: ["test/ports/ParticipantStore.test.ts"]
  },
  {
    rule: "W3",
    what: "the answer to a message is not recorded with what it changes",
    file: "src/participant/HandleMessage.ts",
    find: "const saved = unit.save({ ...changes, barriers: [...(changes.barriers ?? []), own] })",
    replace: "const saved = unit.save({ ...changes, barriers: [...(changes.barriers ?? []), ...(own ? [] : [])] })",
    tests: [table]
  },
  {
    rule: "W3",
    what: "a unit on SQL is no transaction: the handler's effect stays when the unit fails",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "const kept = connections.transaction(\n        Effect.onExit(body,",
    replace: "const kept = ((it: typeof body) => it)(\n        Effect.onExit(body,",
    tests: [sqlStore]
  },
  {
    rule: "W3",
    what: "what a handler has written stays when it fails",
    file: "src/participant/HandleMessage.ts",
    find: "? Effect.fail(new UnitFailed(ran.reply))",
    replace: "? conclude(work, ran.reply, { transactions })",
    tests: ["test/adapters/sql/participantProcesses.test.ts"]
  },
  {
    rule: "W3",
    what: "a unit goes on after the database has ended the work of its handler",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "          broken = reason\n",
    replace: "",
    tests: [sqlUnit]
  },
  {
    rule: "W3",
    what: "a handler that ignores a failed statement leaves its message without an answer",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "isAborted(error) ? new RolledBack(ignoring, false) : rolledBack(error)",
    replace: "rolledBack(error)",
    tests: [sqlUnit]
  },
  {
    rule: "C6",
    what: "a new transaction keeps the form that it was inserted with, whatever its unit has saved",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "!isOpened || it.uuid !== opens.uuid || !isSame(it, opens)",
    replace: "!isOpened || it.uuid !== opens.uuid",
    tests: [sqlUnit]
  },
  {
    rule: "C6",
    what: "a unit that another was faster than does not read what that one has recorded",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "isOpened && !isAgain ? nothing",
    replace: "isOpened ? nothing",
    tests: [sqlUnit]
  },

  // ---- W4 ------------------------------------------------------------------------------------------------------
  {
    rule: "W4",
    what: "services are told to commit before that is decided in storage",
    file: "src/execution/rules/Instruction.ts",
    find: `    case "Commit":
    case "Reject":
      return true`,
    replace: `    case "Reject":
      return true`,
    tests: [twoPhase]
  },
  {
    rule: "W4",
    what: "services are told to reject before that is decided in storage",
    file: "src/execution/rules/Instruction.ts",
    find: `    case "Commit":
    case "Reject":
      return true`,
    replace: `    case "Commit":
      return true`,
    tests: [twoPhase, "test/chaos/agreement.test.ts"]
  },

  // ---- W5 ------------------------------------------------------------------------------------------------------
  {
    rule: "W5",
    what: "two writes of the same revision are both kept (memory)",
    file: "src/ports/SagaExecutionRepository.ts",
    find: "} else if (known.state.revision !== execution.revision) {",
    replace: "} else if (known.state.revision < execution.revision) {",
    tests: [repository]
  },
  {
    rule: "W5",
    what: "two writes of the same revision are both kept (three functions)",
    file: "src/adapters/keyvalue/KeyValueRepository.ts",
    find: "if (known.value.revision !== execution.revision) {",
    replace: "if (known.value.revision < execution.revision) {",
    tests: ["test/adapters/keyvalue/KeyValueRepository.test.ts"]
  },
  {
    rule: "W5",
    what: "a write that was overtaken is taken for done (SQL)",
    file: "src/adapters/sql/SqlSagaExecutionRepository.ts",
    find: "rows.filter(({ uuid }) => !written.has(uuid))",
    replace: "rows.filter(() => false)",
    tests: [sqlRepository]
  },
  {
    rule: "W5",
    what: "an own write whose outcome was unknown is taken for somebody else's",
    file: "src/orchestrator/RecordFacts.ts",
    find: "isRefused ? undefined : yield* ownWrite(self.execution, self.definition)",
    replace: "undefined",
    tests: [outage]
  },
  {
    rule: "W5",
    what: "somebody else's write of the same revision is taken for the own one",
    file: "src/orchestrator/RecordFacts.ts",
    find: "revision === after.revision && CanonicalJson.stringify(events) === CanonicalJson.stringify(execution.events)",
    replace: "revision === after.revision",
    tests: [instances]
  },
  {
    rule: "W5",
    what: "facts whose write was refused are not offered to the newer state",
    file: "src/orchestrator/Progress.ts",
    find: "const next = judged === undefined ? facts.reduce(evolve, state) : withAll(facts, state)",
    replace: "const next = judged === undefined ? undefined : withAll(facts, state)",
    tests: [instances]
  },
  {
    rule: "W5",
    what: "what was decided on the old state is offered to the newer one",
    file: "src/orchestrator/Progress.ts",
    find: "  let { state } = latest\n",
    replace: "  let state = self.execution.events.slice(-self.execution.state.unstored).reduce(evolve, latest.state)\n",
    tests: [overtaken]
  },
  {
    rule: "W5",
    what: "an input is judged on the state that it has changed itself",
    file: "src/orchestrator/Progress.ts",
    find: "    if (judged !== undefined) standing.add(judged)\n",
    replace: "",
    tests: [overtaken]
  },
  {
    rule: "W5",
    what: "a runner by hand goes on with what another one is at work on",
    file: "src/orchestrator/Progress.ts",
    find: "rebased !== latest || brings(inbox, rebased, { ...policy, definition, now })",
    replace: "rebased !== latest || inbox.inputs.length > 0",
    tests: [overtaken]
  },
  {
    rule: "W5",
    what: "a reply whose write was refused is not judged again on the newer state",
    file: "src/orchestrator/Progress.ts",
    find: "  inbox.inputs.unshift(...inbox.judged.filter((one) => !standing.has(one)).map(({ input }) => input))\n",
    replace: "",
    tests: [overtaken]
  },

  // ---- W6, W7 --------------------------------------------------------------------------------------------------
  {
    rule: "W6",
    what: "another alternative runs than the one that was chosen and stored",
    file: "src/execution/rules/SagaDecision.ts",
    find: "step.alternatives[state.choice!]!.steps",
    replace: "step.alternatives.at(-1 - state.choice!)!.steps",
    tests: ["test/execution/rules/laws.test.ts"]
  },
  {
    rule: "W7",
    what: "a local step runs before it is stored as running",
    file: "src/execution/rules/Instruction.ts",
    find: `    case "RunStep":
    case "Compensate":
    case "Resend":`,
    replace: `    case "Compensate":
    case "Resend":`,
    tests: [decision, crash]
  },
  {
    rule: "W7",
    what: "the undoing of a local step begins before that is stored",
    file: "src/execution/rules/Instruction.ts",
    find: `    case "RunStep":
    case "Compensate":
    case "Resend":`,
    replace: `    case "RunStep":
    case "Resend":`,
    tests: [decision, crash]
  },
  {
    rule: "W7",
    what: "a transactional step is kept though its record is not",
    file: "src/orchestrator/TransactionalStep.ts",
    find: "    }).pipe(repository.atomically)",
    replace: "    })",
    tests: [sqlSteps]
  },
  {
    rule: "W7",
    what: "what a transactional step has written stays when it fails",
    file: "src/orchestrator/TransactionalStep.ts",
    find: "if (facts.some(isFailure)) {",
    replace: "if (facts.length === 0) {",
    tests: [sqlSteps]
  },
  {
    rule: "F30",
    what: "a step that times out does not say that the broker refused its request",
    file: "src/execution/rules/SagaDecision.ts",
    find: "refused === undefined ? silent",
    replace: "refused !== null ? silent",
    tests: ["test/execution/rules/SagaDecision.test.ts"]
  },
  {
    rule: "F37",
    what: "a step that times out does not say that nobody listens",
    file: "src/execution/rules/SagaDecision.ts",
    find: "isUnheard ? { ...late, unheard: true as const } : late",
    replace: "isUnheard ? late : late",
    tests: ["test/orchestrator/unheard.test.ts"]
  },
  {
    rule: "F32",
    what: "a command whose path is none is handled",
    file: "src/ports/Broker.ts",
    find: "if (path !== undefined && !isPath(path))",
    replace: "if (path !== undefined && !isPath(path) && path === op)",
    tests: [wire]
  },
  {
    rule: "F39",
    what: "a text is measured in units of UTF-16",
    file: "src/wire/Text.ts",
    find: "text.length > limit || bytesOf(text) > limit",
    replace: "text.length > limit",
    tests: ["test/wire/Text.test.ts"]
  },
  {
    rule: "F25",
    what: "a value from before the first write is judged by itself",
    file: "src/orchestrator/SagaRunner.ts",
    find: "  execution.revision > 0\n",
    replace: "  execution.revision >= 0\n",
    tests: ["test/orchestrator/byHand.test.ts"]
  },
  {
    rule: "F25",
    what: "another execution that has taken the uuid is acted on",
    file: "src/orchestrator/SagaRunner.ts",
    find: "stored.saga === execution.saga && contextHash(stored) === contextHash(execution) ? stored : execution",
    replace: "stored",
    tests: ["test/orchestrator/byHand.test.ts"]
  },
  {
    rule: "F34",
    what: "a reject by hand returns before it has left",
    file: "src/orchestrator/Waiters.ts",
    find: 'until !== "told" || rests || ',
    replace: "",
    tests: ["test/orchestrator/byHand.test.ts"]
  },
  {
    rule: "F28",
    what: "a step whose transaction the database has ended does not run again",
    file: "src/orchestrator/TransactionalStep.ts",
    find: "note(rolledBackBy?.(cause)))",
    replace: "note(undefined))",
    tests: [transactional]
  },
  {
    rule: "F28",
    what: "a step fails because the savepoint around it is lost",
    file: "src/orchestrator/TransactionalStep.ts",
    find: `isStoreAway(cause) ? "away" : undefined`,
    replace: `isStoreAway(cause) ? undefined : undefined`,
    tests: ["test/adapters/sql/transactionalRetry.test.ts"]
  },
  {
    rule: "F28",
    what: "a step fails because the database is away",
    file: "src/orchestrator/TransactionalStep.ts",
    find: `endedBy === "away" ? Effect.fail(isAway) : Effect.succeed({ facts, stored: undefined })`,
    replace: "Effect.succeed({ facts, stored: undefined })",
    tests: [transactional]
  },
  {
    rule: "F28",
    what: "a step fails because the database accepts no connections for a while",
    file: "src/adapters/sql/SqlErrors.ts",
    find: " || isClosed(error)",
    replace: "",
    tests: ["test/adapters/sql/SqlErrors.test.ts"]
  },
  {
    rule: "F28",
    what: "a step waits for ever that fails with the code of a database that accepts no connections",
    file: "src/adapters/sql/SqlErrors.ts",
    find: `error.reason.operation === "connect" && `,
    replace: "",
    tests: ["test/adapters/sql/SqlErrors.test.ts"]
  },
  {
    rule: "F28",
    what: "attempts go on in a transaction that has been ended",
    file: "src/orchestrator/steps/LocalStep.ts",
    find: " && transaction?.isOver !== true",
    replace: "",
    tests: [transactional]
  },
  {
    rule: "F28",
    what: "a transactional step that ignores a failed statement runs for ever",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "self.failedCommits > 0",
    replace: "self.failedCommits < 0",
    tests: ["test/adapters/sql/transactionalRetry.test.ts"]
  },
  {
    rule: "W7",
    what: "a step that runs again has another idempotency key",
    file: "src/orchestrator/steps/StepCallback.ts",
    find: "const idempotencyKey = messageId(uuid, path, op)",
    replace: `const idempotencyKey = [messageId(uuid, path, op), scope.clock.currentTimeMillisUnsafe()].join(":")`,
    tests: ["test/orchestrator/steps/LocalStep.test.ts", crash]
  }
]
