/** SPEC C6: what a participant does with a message, by what it has recorded. */
import type { Mutant } from "./Mutant.ts"

const table = "test/participant/ParticipantDecision.test.ts"
const random = "test/participant/laws.test.ts"
const wire = "test/participant/Participant.test.ts"
const ambient = "test/participant/innerSaga.test.ts"
const participant = "test/participant/HandleMessage.test.ts"
const twoPhase = "test/orchestrator/twoPhaseCommit.test.ts"
const store = "test/ports/ParticipantStore.test.ts"
const later = "test/participant/later.test.ts"
const admitted = "test/participant/CommandAdmission.test.ts"
const admission = "src/participant/CommandAdmission.ts"
const lateModel = "test/participant/later.model.test.ts"
const begunModel = "test/participant/begun.model.test.ts"

const machine = "src/participant/ParticipantDecision.ts"
const unit = "src/participant/HandleMessage.ts"
const taking = "src/participant/TakeMessages.ts"

export const participants: ReadonlyArray<Mutant> = [
  {
    rule: "W3",
    what: "a later message of a transaction takes a statement to lock and one to read",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "transactions.length === 1 && opens === undefined && !isAgain",
    replace: "transactions.length === 1 && opens === undefined && isAgain",
    tests: ["test/adapters/sql/unitOfWork.test.ts"]
  },
  {
    rule: "C6",
    what: "what any hook does is kept apart from its message",
    file: unit,
    find: `name === "reserve" ? unit.attempt(run)`,
    replace: `name.length > 0 ? unit.attempt(run)`,
    tests: [wire]
  },
  // ---- what was answered before --------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "a message that was answered before runs again",
    file: machine,
    find: "  if (recorded !== undefined) {\n",
    replace: "  if (recorded !== undefined && recorded.request === undefined) {\n",
    tests: [table, participant]
  },
  {
    rule: "C6",
    what: "a message that was answered before gets a new answer",
    file: machine,
    find: `: { _tag: "Repeat", body: recorded.reply }`,
    replace: `: replyWith(recorded.status)`,
    tests: [table, participant]
  },
  {
    rule: "C6",
    what: "a message that release 0.1.0 has recorded counts as another one",
    file: "src/participant/IncomingMessage.ts",
    find: `CanonicalJson.sha256OfText(CanonicalJson.formerly([command ?? null, known]))`,
    replace: `request`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "a message with the id of another gets that one's answer",
    file: machine,
    find: `return { _tag: "PutAway", fault: "MessageIdReused" }`,
    replace: `return { _tag: "Repeat", body: recorded.reply }`,
    tests: [wire]
  },
  {
    rule: "C6",
    what: "a message that must never run is refused as a reused id, without an answer",
    file: machine,
    find: `if (recorded.request === undefined || recorded.reply === undefined) return replyWith(500, "Refused")`,
    replace: `if (recorded.reply === undefined) return { _tag: "PutAway", fault: "MessageIdReused" }`,
    tests: [table]
  },

  // ---- execute -------------------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "an execute runs after its transaction was rejected",
    file: machine,
    find: `if (rows.every(({ status }) => status === "pending")) {`,
    replace: `if (rows.every(({ status }) => status === "pending" || status === "rejected")) {`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "an execute runs after its transaction was promised",
    file: machine,
    find: `if (rows.every(({ status }) => status === "pending")) {`,
    replace: `if (rows.every(({ status }) => status === "pending" || status === "reserved")) {`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "an execute runs after its transaction was committed",
    file: machine,
    find: `if (rows.every(({ status }) => status === "pending")) {`,
    replace: `if (rows.every(({ status }) => status === "pending" || status === "committed")) {`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "an execute runs although its time is over",
    file: machine,
    find: "if (now > envelope.notAfter) {",
    replace: "if (now < 0) {",
    tests: [participant, table]
  },
  {
    rule: "C6",
    what: "an execute that comes too late is refused and not recorded: another clock may still run it",
    file: machine,
    find: `return isRecorded ? record(refused("Expired"), { transactions: rows }) : replyWith(500, "Expired")`,
    replace: `return replyWith(500, "Expired")`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "a staged effect runs where no transaction keeps it back",
    file: "src/participant/ParticipantHandlers.ts",
    find: `  if (command.effect === "staged" && !staging) return uncalled(envelope, name, outsideTransaction)\n`,
    replace: "",
    tests: [participant]
  },
  {
    rule: "C6",
    what: "an inner saga runs something in a transaction that is over",
    file: machine,
    find: "const rows = unique(envelope.transactions).flatMap((uuid) => transactions.get(uuid) ?? [])",
    replace: "const rows = [envelope.saga].flatMap((uuid) => transactions.get(uuid) ?? [])",
    tests: [ambient]
  },

  // ---- reserve -------------------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "it votes yes for what it does not know",
    file: machine,
    find: `: record(no("Unknown"), { transactions: [becomes(own, envelope, "rejected", now)] })`,
    replace: `: record({ status: 200 }, { transactions: [becomes(own, envelope, "reserved", now)] })`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "a no to what it does not know leaves nothing that keeps a late execute out",
    file: machine,
    find: `: record(no("Unknown"), { transactions: [becomes(own, envelope, "rejected", now)] })`,
    replace: `: record(no("Unknown"), {})`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "it votes yes although an effect that the coordinator names is not recorded",
    file: machine,
    find: "return (reservedPaths(envelope) ?? []).every(hasEffect)",
    replace: "return (reservedPaths(envelope) ?? []).every(() => true)",
    tests: [table]
  },
  {
    rule: "C6",
    what: "it votes yes although a step that the coordinator names has no effect",
    file: machine,
    find: `return executed !== undefined && executed.effect !== "none" && executed.transaction === own.uuid`,
    replace: "return executed !== undefined && executed.transaction === own.uuid",
    tests: [table, wire]
  },
  {
    rule: "C6",
    what: "a no does not end the transaction",
    file: machine,
    find: `: record(no("EffectMissing"), { transactions: [becomes(own, envelope, "rejected", now)] }, { discard: true })`,
    replace: `: record(no("EffectMissing"), { transactions: [touched(own, envelope)] })`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "it votes yes although its hook refuses",
    file: unit,
    find: `    onFailure: (cause) => {
      const unavailable`,
    replace: `    onFailure: (cause) => {
      if (cause !== undefined) return conclude(work, { status: 200 }, { transactions: [transaction] })
      const unavailable`,
    tests: [wire]
  },

  // ---- commit, reject ------------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "it commits what it has not promised",
    file: machine,
    find: `    case "pending":
    case "rejected":
      return violation(situation, isAnswered)
    case "reserved":
      return {
        _tag: "Commit",`,
    replace: `    case "rejected":
      return violation(situation, isAnswered)
    case "pending":
    case "reserved":
      return {
        _tag: "Commit",`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "it commits what it has rejected",
    file: machine,
    find: `    case "pending":
    case "rejected":
      return violation(situation, isAnswered)
    case "reserved":
      return {
        _tag: "Commit",`,
    replace: `    case "pending":
      return violation(situation, isAnswered)
    case "rejected":
    case "reserved":
      return {
        _tag: "Commit",`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "it acknowledges the commit of what it does not know",
    file: machine,
    find: "return isLate(situation) ? (isAnswered ? replyWith(200) : ignore) : violation(situation, isAnswered)",
    replace: "return isAnswered ? replyWith(200) : ignore",
    tests: [table]
  },
  {
    rule: "C6",
    what: "it rejects what it has committed",
    file: machine,
    find: `  if (situation.own?.status === "committed") return violation(situation)
  const { discard, rows } = ended(situation)
  return record({ status: 200 }, { transactions: rows }, { discard })`,
    replace: `  const { discard, rows } = ended(situation)
  return record({ status: 200 }, { transactions: rows }, { discard })`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "a reject of what it does not know leaves nothing that keeps a late execute out",
    file: machine,
    find: "if (situation.own === undefined && isLate(situation)) return replyWith(200)",
    replace: "if (situation.own === undefined) return replyWith(200)",
    tests: [table]
  },
  {
    rule: "C6",
    what: "what was staged does not become visible with the commit",
    file: unit,
    find: `requireHook(code, unit, "commit", envelope),`,
    replace: "Effect.void,",
    tests: [random, wire]
  },
  {
    rule: "C6",
    what: "what was staged is not thrown away with the rejection",
    file: unit,
    find: `        work,
        discard,
        final`,
    replace: `        work,
        false,
        final`,
    tests: [random, wire]
  },
  {
    rule: "C6",
    what: "a failure does not throw away what was staged",
    file: unit,
    find: `        work,
        discard,
        Effect.flatMap`,
    replace: `        work,
        false,
        Effect.flatMap`,
    tests: [random, wire]
  },
  {
    rule: "C6",
    what: "a commit whose hook dies is acknowledged",
    file: unit,
    find: `return Effect.andThen(logDefect(name, cause), Effect.fail(new UnitFailed(ParticipantDecision.refused("Died"))))`,
    replace: "return logDefect(name, cause) as Attempt<never>",
    tests: [wire]
  },

  // ---- failure, probe ------------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "it undoes what it has committed",
    file: machine,
    find: `  if (own?.status === "committed") return violation(situation)
  const { discard, rows } = joins(situation)`,
    replace: "  const { discard, rows } = joins(situation)",
    tests: [table]
  },
  {
    rule: "C6",
    what: "a failure before its execute leaves nothing that keeps it out",
    file: machine,
    find: "const unseen = executed === undefined ? [blockedExecute(envelope, now)] : []",
    replace: "const unseen: ReadonlyArray<Barrier> = []",
    tests: [participant]
  },
  {
    rule: "C6",
    what: "a failure does not end its transaction",
    file: machine,
    find: "const { discard, rows } = joins(situation) ? ended(situation) : { rows: [], discard: false }",
    replace: "const { discard, rows } = { rows: [], discard: false }",
    tests: [table]
  },
  {
    rule: "C6",
    what: "what had no effect, or a staged one, is compensated",
    file: machine,
    find: `if (executed?.effect === "immediate") return`,
    replace: "if (executed !== undefined) return",
    tests: [participant, random, table]
  },
  {
    rule: "C6",
    what: "what had an effect is not compensated",
    file: machine,
    find: `if (executed?.effect === "immediate") return`,
    replace: `if (executed?.effect === "staged") return`,
    tests: [table, participant]
  },
  {
    rule: "C6",
    what: "a compensation outside the transaction of what it undoes is carried out",
    file: machine,
    find: `  if (executed !== undefined && executed.transaction !== belongsTo(envelope)) {
    return { _tag: "PutAway", fault: "TransactionMismatch" }
  }\n`,
    replace: "",
    tests: [wire]
  },
  {
    rule: "C6",
    what: "a compensation that fails is recorded, and never tried again",
    file: unit,
    find: "Effect.fail(new UnitFailed({ ...reply, status: 500 }))",
    replace: "conclude(work, { ...reply, status: 500 }, {})",
    tests: [participant]
  },
  {
    rule: "C6",
    what: "a compensation that refuses is answered 400, as if it was final",
    file: unit,
    find: "new UnitFailed({ ...reply, status: 500 })",
    replace: "new UnitFailed(reply)",
    tests: [participant]
  },
  {
    rule: "C6",
    what: "a probe before its execute leaves nothing that keeps it out",
    file: machine,
    find: "{ transactions: rows, barriers: [blockedExecute(envelope, now)] }, { final: false })",
    replace: "{ transactions: rows }, { final: false })",
    tests: [participant]
  },
  {
    rule: "C6",
    what: "a probe of what it does not know leaves its transaction open to others",
    file: machine,
    find: `const rows = unrunRows(situation)
  return record({ status: 404 }`,
    replace: `const rows: ReadonlyArray<Transaction> = []
  return record({ status: 404 }`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "a probe is told 500, which is not final, of what had no effect",
    file: machine,
    find: "return executed.status === 500 || executed.status === 202",
    replace: "return executed.status === 202",
    tests: [participant, table]
  },
  {
    rule: "C6",
    what: "a probe does not get the recorded reply",
    file: machine,
    find: `: { _tag: "Reply", reply: replyIn(executed.reply, executed.status) }`,
    replace: ": replyWith(404)",
    tests: [table, participant]
  },

  // ---- nobody decides ------------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "what was promised ends by itself",
    file: machine,
    find: `return own?.status === "pending" && own.updatedAt + pendingTtl <= now`,
    replace: `return (own?.status === "pending" || own?.status === "reserved") && own.updatedAt + pendingTtl <= now`,
    tests: [random]
  },
  {
    rule: "C6",
    what: "what nobody decides on stays open",
    file: machine,
    find: `return own?.status === "pending" && own.updatedAt + pendingTtl <= now`,
    replace: `return own?.status === "pending" && own.updatedAt + pendingTtl < 0`,
    tests: [wire]
  },
  {
    rule: "C6",
    what: "what ends by itself keeps what it has staged",
    file: "src/participant/ParticipantMaintenance.ts",
    find: `          yield* HandleMessage.requireHook(code, unit, "reject", {
            coordinator: expired.coordinator ?? name,
            id: messageId(uuid, name, "reject"),
            saga: uuid
          })\n`,
    replace: "",
    tests: [wire]
  },
  {
    rule: "C6",
    what: "nobody asks for a decision that does not come",
    file: "src/participant/ParticipantMaintenance.ts",
    find: "return coordinator === undefined || last <= since",
    replace: "return coordinator === undefined || last > 0",
    tests: [wire]
  },
  {
    rule: "C6",
    what: "a decision that is still open counts as a rejection",
    file: machine,
    find: `if (envelope.content !== "reject" || !isOpen) return ignore`,
    replace: "if (!isOpen) return ignore",
    tests: [random, wire]
  },
  {
    rule: "C6",
    what: "a decision that was asked for is not carried out",
    file: machine,
    find: `if (envelope.content === "commit") return commit(situation, undefined)`,
    replace: `if (envelope.content === "commit") return ignore`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "who asks is told reject although nothing is decided",
    file: "src/orchestrator/DecisionConsumer.ts",
    find: `decision ?? "undecided"`,
    replace: `decision ?? "reject"`,
    tests: [twoPhase]
  },
  {
    rule: "C6",
    what: "who asks for what nobody knows waits for ever",
    file: "src/orchestrator/DecisionConsumer.ts",
    find: `repository.durable ? "reject" : "undecided"`,
    replace: `"undecided"`,
    tests: [twoPhase]
  },
  {
    rule: "C6",
    what: "who asks is told reject by a process that has forgotten all",
    file: "src/orchestrator/DecisionConsumer.ts",
    find: `repository.durable ? "reject" : "undecided"`,
    replace: `"reject"`,
    tests: [twoPhase]
  },

  // ---- what was forgotten --------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "it counts a record as gone as soon as nothing may run, whatever the clocks say",
    file: machine,
    find: "bound: envelope.notAfter + settings.maxSkew, settings }",
    replace: "bound: envelope.notAfter, settings }",
    tests: [table]
  },
  {
    rule: "C6",
    what: "a vote on what may be forgotten leaves a rejection that contradicts it",
    file: machine,
    find: `    return isLate(situation)
      ? { _tag: "Reply", reply: no("Purged") }
      : record`,
    replace: `    return now < 0
      ? { _tag: "Reply", reply: no("Purged") }
      : record`,
    tests: [table]
  },
  {
    rule: "C6",
    what: "a commit of what may be forgotten is taken for a contradiction",
    file: machine,
    find: "return isLate(situation) ? (isAnswered ? replyWith(200) : ignore) : violation(situation, isAnswered)",
    replace: "return violation(situation, isAnswered)",
    tests: [table]
  },
  {
    rule: "C6",
    what: "a reject of what may be forgotten leaves a rejection that contradicts it",
    file: machine,
    find: "  if (situation.own === undefined && isLate(situation)) return replyWith(200)\n",
    replace: "",
    tests: [table]
  },
  {
    rule: "C6",
    what: "a failure of what may be forgotten leaves a rejection that contradicts it",
    file: machine,
    find: `  if (executed === undefined && own === undefined && isLate(situation))
    return isForgotten(situation) ? replyWith(500, "Purged") : { _tag: "Reply", reply: undone }\n`,
    replace: "",
    tests: [table]
  },
  {
    rule: "C6",
    what: "a probe of what may be forgotten leaves a rejection that contradicts it",
    file: machine,
    find: `  if (own === undefined && isLate(situation)) return isForgotten(situation) ? replyWith(500, "Purged") : replyWith(404)\n`,
    replace: "",
    tests: [table]
  },
  {
    rule: "C6",
    what: "it answers of what it may have forgotten as if it knew",
    file: machine,
    find: "envelope.transactions.length === 0 && now > bound + settings.participantRetention",
    replace: "envelope.transactions.length === 0 && now > bound + 100 * settings.participantRetention",
    tests: [table]
  },

  // ---- one after the other -------------------------------------------------------------------------------------
  {
    rule: "C6",
    what: "two messages of one transaction are handled at the same time (memory)",
    file: "src/ports/ParticipantStore.ts",
    find: "const keys = transactions.length > 0 ? transactions : messages",
    replace: "const keys = transactions.length > 0 ? [] : messages",
    tests: [store]
  },
  {
    rule: "C6",
    what: "two copies of a message without a transaction are handled at the same time (memory)",
    file: "src/ports/ParticipantStore.ts",
    find: "const keys = transactions.length > 0 ? transactions : messages",
    replace: "const keys = transactions",
    tests: [store]
  },

  // ---- what cannot be handled ------------------------------------------------------------------------------------
  {
    rule: "C8",
    what: "a message whose unit runs into its time is tried for ever",
    file: taking,
    find: `Consumer.retry(handled, ({ reason }) => reason === "unavailable").pipe(`,
    replace: `Consumer.retry(handled, ({ reason }) => reason === "unavailable" || reason === "timeout").pipe(`,
    tests: [wire]
  },
  {
    rule: "C8",
    what: "a command that is given up runs when it comes again",
    file: unit,
    find: "barriers: [ParticipantDecision.answeredBarrier(believed, reply.status, body, now)]",
    replace: "barriers: []",
    tests: [wire]
  },
  {
    rule: "I29",
    what: "a message that makes its consumer die holds its place for ever",
    file: taking,
    find: `Effect.andThen(Effect.logError("Taking a message died", defect), putAway(delivery, "Defect"))`,
    replace: `Effect.logError("Taking a message died", defect)`,
    tests: [wire]
  },
  {
    rule: "I29",
    what: "a handler that dies holds its place for ever",
    file: "src/ports/Consumer.ts",
    find: "fork(placeGivenBack(handle(delivery), delivery))",
    replace: "fork(handle(delivery))",
    tests: ["test/ports/Consumer.test.ts"]
  },
  {
    rule: "C7",
    what: "a process that stops drops what the broker has sent to it",
    file: "src/ports/Consumer.ts",
    find: "isStopping = !isGiven || broker.drains !== true",
    replace: "isStopping = true",
    tests: ["test/adapters/mqtt/stopping.test.ts"]
  },
  {
    rule: "C7",
    what: "a process that stops goes on getting messages",
    file: "src/adapters/mqtt/MqttBroker.ts",
    find: "connection?.client.unsubscribe([...filters.wanted, ...filters.former])",
    replace: "connection",
    tests: ["test/adapters/mqtt/stopping.test.ts"]
  },
  // ---- answers that come later ---------------------------------------------------------------------------------
  {
    rule: "C19",
    what: "a refusal leaves what was accepted",
    file: "src/participant/AnswerLater.ts",
    find: `if (ran._tag === "HandlerFailed") yield*`,
    replace: `if (false) yield*`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "a second answer counts",
    file: "src/participant/AnswerLater.ts",
    find: `if (row.status !== 202) {`,
    replace: `if (false) {`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "the same answer again is refused",
    file: "src/participant/AnswerLater.ts",
    find: `new Over(body === row.reply ? body : undefined)`,
    replace: `new Over(undefined)`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "an answer counts after its transaction is over",
    file: "src/participant/AnswerLater.ts",
    find: `return rows.every((row) => row?.status === "pending")`,
    replace: `return rows.every(() => true)`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "a probe leaves what was accepted",
    file: "src/participant/AcceptedMessages.ts",
    find: `op === "probe" || op === "failure" ? barriers`,
    replace: `op === "failure" ? barriers`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "a compensation leaves what was accepted",
    file: "src/participant/AcceptedMessages.ts",
    find: `op === "probe" || op === "failure" ? barriers`,
    replace: `op === "probe" ? barriers`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "a rejection leaves what was accepted",
    file: "src/participant/AcceptedMessages.ts",
    find: `return isRejected ?`,
    replace: `return false ?`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "a vote against the commit leaves what was accepted",
    file: "src/participant/HandleMessage.ts",
    find: `Effect.andThen(cancel(code, unit, unit.accepted, work.now)),`,
    replace: ``,
    tests: [later]
  },
  {
    rule: "C19",
    what: "pendingTtl leaves what was accepted",
    file: "src/participant/ParticipantMaintenance.ts",
    find: `yield* HandleMessage.cancel(code, unit, unit.accepted, now)
`,
    replace: ``,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "what is ended can be answered",
    file: "src/participant/AcceptedMessages.ts",
    find: `  request: undefined,
  status: 500,`,
    replace: `  request: undefined,
  status: 202,`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "an accepted record of a transaction is purged",
    file: "src/ports/ParticipantStore.ts",
    find: `|| waiting.has(uuid)`,
    replace: ``,
    tests: [later, lateModel, begunModel]
  },
  {
    rule: "C19",
    what: "an accepted record without a transaction is purged",
    file: "src/ports/ParticipantStore.ts",
    find: `keepUntil < alone && status !== 202`,
    replace: `keepUntil < alone`,
    tests: [later, lateModel, begunModel]
  },
  {
    rule: "C19",
    what: "a probe does not end what is accepted, and asks again",
    file: "src/participant/ParticipantDecision.ts",
    find: `executed.status === 202 || executed.reply`,
    replace: `executed.reply`,
    tests: [later, lateModel]
  },
  {
    rule: "C19",
    what: "a sender that does not say later is told 202",
    file: "src/participant/ParticipantDecision.ts",
    find: `recorded.status === 202 && envelope.later !== true`,
    replace: `false`,
    tests: [later]
  },
  // ---- limits of commands ------------------------------------------------------------------------------------------
  {
    rule: "C13",
    what: "a command runs more handlers than its concurrency",
    file: admission,
    find: `runs(state, command) < limits.concurrency`,
    replace: `runs(state, command) <= limits.concurrency`,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "more handlers run in units than maxHandlers",
    file: admission,
    find: `handlers < maxHandlers`,
    replace: `handlers <= maxHandlers`,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "the rate of a command holds nothing up",
    file: admission,
    find: `tokensOf(state, settings, command, now) >= 1`,
    replace: `true`,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "nobody wakes what waits for the rate of its command",
    file: "src/participant/CommandPlaces.ts",
    find: `if (nextAt !== Number.POSITIVE_INFINITY)`,
    replace: `if (false)`,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "a command of a low priority may wait for ever",
    file: admission,
    find: `if (state.turns % everyTurns === everyTurns - 1) return heads[0]
`,
    replace: ``,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "commands of one priority do not take turns",
    file: admission,
    find: `inTurn.find(({ command }) => command > state.cursor) ?? inTurn[0]`,
    replace: `inTurn[0]`,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "a flood of one command takes the places of the others",
    file: admission,
    find: `waiting.findLast(({ command }) => counts.get(command) === most)`,
    replace: `one`,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "a compensation waits for the limits of commands",
    file: "src/participant/CommandPlaces.ts",
    find: `envelope.op !== "execute" ||`,
    replace: ``,
    tests: [admitted]
  },
  {
    rule: "C13",
    what: "a handler that has ended keeps its place",
    file: "src/participant/CommandPlaces.ts",
    find: `Effect.ensuring(restore(handled), leave(command))`,
    replace: `restore(handled)`,
    tests: [admitted]
  },
  // ---- what is seen of it ------------------------------------------------------------------------------------------
  {
    rule: "C8",
    what: "a handler that has stopped in the middle is shown as running",
    file: "src/ports/InspectorGroups.ts",
    find: `runsUntil > now ? "running"`,
    replace: `runsUntil > -1 ? "running"`,
    tests: ["test/ports/Inspector.test.ts"]
  }
]
