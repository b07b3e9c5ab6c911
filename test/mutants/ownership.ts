/** SPEC C16 and C20, where the store keeps them: inputs for the owner of an execution, and who that is. */
import type { Mutant } from "./Mutant.ts"

const repository = "test/ports/SagaExecutionRepository.test.ts"
const model = "test/ownership/model.test.ts"
const keyValue = "test/adapters/keyvalue/KeyValueRepository.test.ts"
const sql = "test/adapters/sql/SqlSagaExecutionRepository.test.ts"
const memory = "src/ports/SagaExecutionRepository.ts"
const leases = "src/ports/Leases.ts"
const functions = "src/adapters/keyvalue/KeyValueRepository.ts"
const writes = "src/adapters/sql/WriteStatements.ts"
const owners = "src/adapters/sql/OwnershipStatements.ts"
const idleClaims = "src/adapters/sql/ClaimOutlook.ts"
const outlook = "test/adapters/sql/ClaimOutlook.test.ts"

export const ownership: ReadonlyArray<Mutant> = [
  // ---- C16 -----------------------------------------------------------------------------------------------------
  {
    rule: "C20",
    what: "a renewal that was cut off has no more time when it is tried again",
    file: "src/adapters/sql/LimitedStatements.ts",
    find: "grown = 2 * limit",
    replace: "grown = limit",
    tests: ["test/adapters/sql/LimitedStatements.test.ts"]
  },
  {
    rule: "C20",
    what: "a claim does not say who has what is lost (SQL)",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "holders: new Map(others.map(({ owner, uuid }) => [uuid, owner ?? undefined])),",
    replace: "",
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  },
  {
    rule: "C20",
    what: "a claim that takes long does not renew the lease (SQL)",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "passed * renewalsInLease < Math.max(leaseMillis, leastMillis)",
    replace: "passed < Number.POSITIVE_INFINITY",
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  },
  {
    rule: "C20",
    what: "a claim that has a new name is left out where nothing is due (SQL)",
    file: idleClaims,
    find: " && former === undefined",
    replace: "",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "what is lost is not asked for where nothing is due (SQL)",
    file: idleClaims,
    find: " && holds.length === 0",
    replace: "",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "what is to be given back is kept where nothing is due (SQL)",
    file: idleClaims,
    find: " && gives.length === 0",
    replace: "",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "a claim is left out that would give places in queues (SQL)",
    file: idleClaims,
    find: "!hasQueues && ",
    replace: "",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "a statement that says nothing of queues is taken for one that has seen none (SQL)",
    file: idleClaims,
    find: "hasQueues = true",
    replace: "hasQueues = false",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "a claim is left out that would give what is due by now (SQL)",
    file: idleClaims,
    find: "firstAt > dueBy",
    replace: "firstAt >= dueBy",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "every claim of an idle process is sent (SQL)",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "const emptyUntil = looks ?",
    replace: "const emptyUntil = looks && limit === 0 ?",
    tests: [outlook]
  },
  {
    rule: "C16",
    what: "inputs of a former release are not looked for by an idle process (SQL)",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "const looks = !reminds && ",
    replace: "const looks = ",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "a renewal does not see what an owner is at work on (SQL)",
    file: owners,
    find: "h.claimable and h.wake_at is not null order",
    replace: "h.claimable and h.wake_at > 0 order",
    tests: [outlook]
  },
  {
    rule: "C20",
    what: "a runner that is killed is found gone too late for a takeover",
    file: "src/adapters/cluster/ClusterRunner.ts",
    find: "refreshAssignmentsInterval: Duration.millis(expiration / 2)",
    replace: "refreshAssignmentsInterval: Duration.millis(expiration)",
    tests: ["test/adapters/cluster/ClusterRunner.test.ts"]
  },
  {
    rule: "C20",
    what: "the runner of an idle process looks too often who is there",
    file: "src/adapters/cluster/ClusterRunner.ts",
    find: "refreshAssignmentsInterval: Duration.millis(expiration / 2),",
    replace: "refreshAssignmentsInterval: Duration.millis(expiration / 4),",
    tests: ["test/adapters/cluster/ClusterRunner.test.ts"]
  },
  {
    rule: "C20",
    what: "a claim that the server runs late takes what living owners have (SQL)",
    file: owners,
    find: ` or \${isPresent(owner)})`,
    replace: " or true)",
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  },
  {
    rule: "C20",
    what: "an execution of a living owner is taken by a statement that the server runs late (SQL)",
    file: owners,
    find: ` or not \${isPresent(owner)} \${sparing`,
    replace: ` \${sparing`,
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  },
  {
    rule: "C20",
    what: "an execution of a living owner is taken by a write that the server runs late (SQL)",
    file: "src/adapters/sql/WriteStatements.ts",
    find: ` or not \${isPresent(owner)})`,
    replace: ")",
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  },
  {
    rule: "C16",
    what: "an input that a former release has not seen is left behind (SQL)",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "    if (reminds) yield* remind(request.now)\n",
    replace: "",
    tests: ["test/adapters/sql/inbox.test.ts"]
  },
  {
    rule: "C16",
    what: "an execution ends while inputs wait (memory)",
    file: memory,
    find: "if (hint?.closes === true && SagaInbox",
    replace: "if (hint?.closes === true && hint.wakeAt === -1 && SagaInbox",
    tests: [repository]
  },
  {
    rule: "C16",
    what: "an execution ends while inputs wait (key-value)",
    file: functions,
    find: "if (hint?.closes === true && SagaInbox",
    replace: "if (hint?.closes === true && hint.wakeAt === -1 && SagaInbox",
    tests: [keyValue]
  },
  {
    rule: "C16",
    what: "an execution ends while inputs wait (SQL)",
    file: writes,
    find: "case when ${row}.inbox <> 1 and x.inbox > 0 then -1",
    replace: "case when false then -1",
    tests: [sql]
  },
  {
    rule: "C16",
    what: "an execution ends while inputs wait, where its write has read some of them (SQL)",
    file: writes,
    find: "f.closes and h.inbox > (",
    replace: "false and h.inbox > (",
    tests: [sql]
  },
  {
    rule: "C16",
    what: "a write that is refused takes inputs out of the inbox (SQL)",
    file: writes,
    find: " join written w on w.uuid = f.uuid",
    replace: "",
    tests: [sql]
  },
  {
    rule: "C16",
    what: "inputs that are read stay (memory)",
    file: memory,
    find: "      known.inbox = SagaInbox.without(known.inbox, hint?.reads)\n",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C16",
    what: "an input replaces another one with its id (memory)",
    file: memory,
    find: `    if (rows.has(row.id)) return Effect.succeed("known")\n`,
    replace: "",
    tests: [repository]
  },
  {
    rule: "C16",
    what: "any number of inputs waits (memory)",
    file: memory,
    find: "if (rows.size >= SagaInbox.maxRows)",
    replace: "if (rows.size < 0)",
    tests: [repository]
  },
  {
    rule: "C16",
    what: "any number of inputs waits (SQL)",
    file: owners,
    find: "and head.refused is null and not head.full",
    replace: "and head.refused is null",
    tests: [sql]
  },
  {
    rule: "C16",
    what: "a signal is stored for which the execution has no wait (SQL)",
    file: owners,
    find: `when (\${signal}::text = any(signals)) is not true then 'unknown-signal'`,
    replace: "when false then 'unknown-signal'",
    tests: [sql]
  },
  {
    rule: "C16",
    what: "a signal is stored while its execution turns back (SQL)",
    file: owners,
    find: "when direction = 'backward' then",
    replace: "when false then",
    tests: [sql]
  },
  {
    rule: "C16",
    what: "a signal is stored for which the execution has no wait",
    file: "src/ports/SagaInbox.ts",
    find: 'return names?.includes(signal) === true ? undefined : "unknown-signal"',
    replace: "return undefined",
    tests: ["test/ports/SagaExecutionRepository.test.ts"]
  },
  {
    rule: "C16",
    what: "inputs outlive their execution (SQL)",
    file: "src/adapters/sql/SqlTables.ts",
    find: "uuid uuid not null references",
    replace: "uuid uuid not null, -- references",
    tests: [sql]
  },
  // ---- C20 -----------------------------------------------------------------------------------------------------
  {
    rule: "C20",
    what: "an input does not make its execution due (memory)",
    file: memory,
    find: "    known.hint = dueFrom(known.hint, row.at)\n",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an input does not make its execution due (key-value)",
    file: functions,
    find: "    const hint = dueFrom(hints.get(uuid), row.at)\n",
    replace: "    const hint = hints.get(uuid)\n",
    tests: [keyValue]
  },
  {
    rule: "C20",
    what: "an input does not make its execution due (SQL)",
    file: owners,
    find: "wake_at = case when h.wake_at = 0 then 0 else least(",
    replace: "wake_at = case when h.wake_at = 0 then 0 else coalesce(",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "an input does not make due what waits for a person (memory)",
    file: leases,
    find: "(isClaimable(state) || isWaitedFor(execution))",
    replace: "isClaimable(state)",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an execution is given back that was written since (memory)",
    file: memory,
    find: "known.state.revision !== revision || ",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an execution is given back that was written since (SQL)",
    file: owners,
    find: "e.uuid = g.uuid and e.revision = g.revision + 1",
    replace: "false",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "an execution is given back for which inputs wait (memory)",
    file: memory,
    find: " || known.inbox !== undefined) return false",
    replace: ") return false",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an execution is given back for which inputs wait (SQL)",
    file: owners,
    find: " and (h.inbox > 0) is not true",
    replace: "",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "an execution is given back by an instance that does not have it (SQL)",
    file: owners,
    find: " and h.owner = any(array[g.owner])",
    replace: "",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "a lease that is over is renewed under its name (memory)",
    file: leases,
    find: "if (lapsed) return {",
    replace: "if (lapsed && limit < 0) return {",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "a lease that is over is renewed under its name (SQL)",
    file: owners,
    find: "where i.lease_until > clock_timestamp()\n                returning",
    replace: "where true\n                returning",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "an instance with a new name does not get what it holds (memory)",
    file: leases,
    find: "} else if (hint.owner !== undefined) execution.hint = { ...hint, owner }",
    replace: "}",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an instance with a new name gets what others have taken (SQL)",
    file: owners,
    find: "former} returning h.uuid",
    replace: "former} or true returning h.uuid",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "an instance does not take up what it holds at an older revision (memory)",
    file: leases,
    find: "(seen === undefined || state.revision > seen)",
    replace: "seen === undefined",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an instance does not take up what it holds at an older revision (SQL)",
    file: owners,
    find: "e.uuid = k.uuid and e.revision = k.revision + 1",
    replace: "false",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "a reply is applied by an instance while another one is at work on the execution (memory)",
    file: memory,
    find: "if (hint?.takes === true && isElsewhere",
    replace: "if (hint?.takes === true && hint.wakeAt === -1 && isElsewhere",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "a reply is applied by an instance while another one is at work on the execution (SQL)",
    file: writes,
    find: "when ${row}.inbox > 0 and ",
    replace: "when false and ",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "after an outage an instance claims from others before they could renew (memory)",
    file: leases,
    find: " && (spares !== true || hint.owner === former)",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "after an outage an instance claims from others before they could renew (SQL)",
    file: owners,
    find: "and (h.owner is null or h.owner = any($",
    replace: "and (true or h.owner = any($",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "after an outage an input takes an execution from its instance before that could renew (memory)",
    file: leases,
    find: "(spares === true || this.isAlive(hint.owner, now))",
    replace: "this.isAlive(hint.owner, now)",
    tests: [repository, model]
  },
  {
    rule: "C20",
    what: "what names a former name of the instance is not its own (memory)",
    file: leases,
    find: "hint.owner === former) return owner",
    replace: 'hint.owner === "") return owner',
    tests: [repository]
  },
  {
    rule: "C20",
    what: "a new name is given to all that is held by one statement, however much it is",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "const adoptedTogether = 1_000",
    replace: "const adoptedTogether = 1_000_000",
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  }
]
