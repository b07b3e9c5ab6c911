/** SPEC C20: the connections that the library has for itself, and the time limit of its statements. They need a server. */
import type { Mutant } from "./Mutant.ts"

const connections = "test/adapters/sql/connections.test.ts"
const queue = "test/adapters/sql/ConnectionQueue.test.ts"

export const connecting: ReadonlyArray<Mutant> = [
  {
    rule: "F1",
    what: "a pool that is too small is taken, and the process stands still under load",
    file: "src/adapters/sql/SqlConnections.ts",
    find: "return size >= least\n",
    replace: "return size > 0\n",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F1",
    what: "the lease is renewed over the connections that transactions share",
    file: "src/adapters/sql/SqlConnections.ts",
    find: "(statement, millis) => lease.use(millis, statement)",
    replace: "(statement) => connections.transaction(statement)",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F1",
    what: "transactions may take all connections that are not reserved, and loads wait for their end",
    file: "src/adapters/sql/SqlConnections.ts",
    find: "shares.transactions.resize(left - 1)",
    replace: "shares.transactions.resize(left)",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F1",
    what: "any number of statements and transactions may wait for a connection",
    file: "src/adapters/sql/ConnectionQueue.ts",
    find: "if (counts.waiting >= most)",
    replace: "if (counts.waiting >= most && most === 0)",
    tests: [queue]
  },
  {
    rule: "F2",
    what: "a statement has no time limit: a silent connection stops the process for ever",
    file: "src/adapters/sql/SqlSession.ts",
    find: "if (isLimited) {",
    replace: "if (isLimited && millis < 0) {",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "a statement around the work of others, such as a commit, has no time limit",
    file: "src/adapters/sql/SqlSession.ts",
    find: "control.test(sql) ? Math.min(limit, this.limit) : limit",
    replace: "limit",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "the time limit of a statement holds for the work of a handler too",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "const exit = yield* Effect.exit(restore(work))",
    replace: "const exit = yield* Effect.exit(Effect.timeout(restore(work), connections.statementMillis))",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "a statement that has run into its time limit goes on in the database",
    file: "src/adapters/sql/SqlSession.ts",
    find: "    fiber.interruptUnsafe()\n    Effect.runFork(",
    replace: "    Effect.runFork(",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "a reserved connection that is lost is not replaced",
    file: "src/adapters/sql/SqlConnections.ts",
    find: "return this.session !== undefined && !this.session.isLost ?",
    replace: "return this.session !== undefined ?",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "the listener stays on its connection although the others have turned out to be silent",
    file: "src/adapters/sql/SqlConnections.ts",
    find: "if (this.session?.isLost === true) this.onLost()",
    replace: "if (this.session === undefined) this.onLost()",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "an interrupted step waits until the client has given up its silent connection",
    file: "src/adapters/sql/SqlSession.ts",
    find: "const cancelOfOthersMillis = 1_000",
    replace: "const cancelOfOthersMillis = 60_000",
    tests: ["test/adapters/sql/SqlSession.test.ts"]
  },
  {
    rule: "F2",
    what: "a handler cannot go on with its connection after a statement that it has given up",
    file: "src/adapters/sql/SqlSession.ts",
    find: "isLimited ? 0 : cancelOfOthersMillis",
    replace: "0",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F2",
    what: "each connection that the pool has kept is found silent one after the other, in the time of a statement each",
    file: "src/adapters/sql/SqlSession.ts",
    find: "mustAnswer || source.isSuspected",
    replace: "mustAnswer && !source.isSuspected",
    needsServer: true,
    tests: [connections]
  },
  {
    rule: "F1",
    what: "work that is interrupted while it waits keeps its place in the line",
    file: "src/adapters/sql/ConnectionQueue.ts",
    find: "Effect.sync(() => move(undefined))",
    replace: "Effect.void",
    tests: [queue]
  },
  {
    rule: "F9",
    what: "the retention reads the whole table once a minute, and runs into the limit of its statement where it is large",
    file: "src/adapters/sql/RetentionStatements.ts",
    find: `order by settled_at limit \${`,
    replace: `order by settled_at + 0 limit \${`,
    tests: ["test/adapters/sql/plans.test.ts"]
  },
  {
    rule: "F9",
    what: "the planner may join keys to a table in any way: a plan made on an empty table scans it for ever",
    file: "src/adapters/sql/SqlStatements.ts",
    find: " is not null)::int = 1",
    replace: " is not null)",
    tests: ["test/adapters/sql/plans.test.ts"]
  },
  {
    rule: "F9",
    what: "every change of an execution wakes all processes",
    file: "src/adapters/sql/WrittenSummaries.ts",
    find: "const announced = revision > 1 && !started.has(uuid)",
    replace: "const announced = revision > 1",
    tests: ["test/adapters/sql/announce.test.ts"]
  },
  {
    rule: "F9",
    what: "a caller who starts an execution that another process runs does not hear of its end",
    file: "src/adapters/sql/SqlSagaExecutionRepository.ts",
    find: "if (watched.length > 0) yield*",
    replace: "if (watched.length > 1_000) yield*",
    tests: ["test/adapters/sql/announce.test.ts"]
  },
  {
    rule: "F9",
    what: "the census counts every execution that is not settled",
    file: "src/adapters/sql/ListStatements.ts",
    find: "number(ExecutionSummary.maxCounted)",
    replace: "number(ExecutionSummary.maxCounted * 1_000)",
    tests: ["test/adapters/sql/plans.test.ts"]
  },
  {
    rule: "F2",
    what: "the caller of a statement that has run into its limit is interrupted, and its facts are lost",
    file: "src/adapters/sql/SqlSession.ts",
    find: "    tell()\n    fiber.interruptUnsafe()\n",
    replace: "    fiber.interruptUnsafe()\n    tell()\n",
    tests: ["test/adapters/sql/SqlSession.test.ts"]
  },
  {
    rule: "F2",
    what: "a LISTEN that was given up is kept when its answer comes, in place of a newer one",
    file: "src/adapters/sql/SqlListener.ts",
    find: "        fiber.interruptUnsafe()\n        Effect.runFork(close)",
    replace: "        Effect.runFork(close)",
    tests: ["test/adapters/sql/SqlListener.test.ts"]
  },
  {
    rule: "C8",
    what: "the answer of a handler that may not write for now is recorded as its failure",
    file: "src/adapters/sql/SqlErrors.ts",
    find: "isLost(error) || isReadOnly(error) || blamesServer",
    replace: "isLost(error) || blamesServer",
    needsServer: true,
    tests: ["test/adapters/sql/readOnly.test.ts"]
  },
  {
    rule: "C13",
    what: "each connection says that the broker cannot be reached",
    file: "src/ports/Reconnection.ts",
    find: "isReached === false ? ofPlace : said",
    replace: "isReached === undefined ? ofPlace : said",
    tests: ["test/adapters/mqtt/MqttConnection.test.ts"]
  }
]
