/** SPEC C20, I29: a row that other hands have changed concerns its own execution, transaction or dead letter. */
import type { Mutant } from "./Mutant.ts"

const columns = "test/adapters/sql/storedColumns.test.ts"
const participants = "test/adapters/sql/participantColumns.test.ts"
const readable = "test/execution/view/Readable.test.ts"
const keyValue = "test/adapters/keyvalue/KeyValueRepository.test.ts"

export const rows: ReadonlyArray<Mutant> = [
  {
    rule: "C11",
    what: "a reply over the limit of the broker is recorded, and never arrives",
    file: "src/participant/ParticipantHandlers.ts",
    find: "if (!isOverLimit && Broker.sizeOf(body)",
    replace: "if (Broker.sizeOf(body)",
    tests: ["test/participant/HandleMessage.test.ts"]
  },
  {
    rule: "I19",
    what: "a header that is no text is stored, and nobody can read the execution",
    file: "src/ports/RequestHeaders.ts",
    find: '!isHostileKey(name) && typeof value === "string"',
    replace: "!isHostileKey(name)",
    tests: ["test/orchestrator/hostileHeaders.test.ts"]
  },
  {
    rule: "C11",
    what: "a setting whose name has a mistake in it is dropped, and its default holds",
    file: "src/ports/Setting.ts",
    find: "Object.keys(options).find((name) => !Object.hasOwn(names, name))",
    replace: "undefined as string | undefined",
    tests: ["test/orchestrator/settings.test.ts"]
  },
  {
    rule: "C11",
    what: "an option of a step whose name has a mistake in it is lost",
    file: "src/definition/SagaValidation.ts",
    find: "    yield* checkOptions(step, at)\n",
    replace: "",
    tests: ["test/definition/SagaValidation.test.ts"]
  },
  {
    rule: "C11",
    what: "a folder may be anything",
    file: "src/adapters/pglite/PgliteClient.ts",
    find: 'yield* Setting.text("PgliteClient.folder", folder)',
    replace: "folder",
    tests: ["test/orchestrator/settings.test.ts"]
  },
  {
    rule: "C20",
    what: "an execution runs by the facts of another one",
    file: "src/adapters/sql/ExecutionRows.ts",
    find: "return execution.uuid === uuid ? Result.succeed(execution) :",
    replace: "return execution.uuid !== uuid || true ? Result.succeed(execution) :",
    tests: [columns]
  },
  {
    rule: "C20",
    what: "an execution whose latest facts are lost runs from an earlier state",
    file: "src/adapters/sql/ExecutionRows.ts",
    find: "if (rows.some(({ head = 0 }) => head > rows.length))",
    replace: "if (rows.some(({ head = 0 }) => head > rows.length && false))",
    tests: [columns]
  },
  {
    rule: "C20",
    what: "a value under the key of another execution is run as that one",
    file: "src/adapters/keyvalue/KeptValues.ts",
    find: "if (execution.uuid === uuid) return execution",
    replace: "if (execution.uuid !== uuid || execution.uuid === uuid) return execution",
    tests: [keyValue]
  },
  {
    rule: "C20",
    what: "an execution that a claim gives, and whose saga this process does not have, is claimed for ever",
    file: "src/orchestrator/Unreadable.ts",
    find: 'this.found(new SagaExecutionUnreadable({ uuid, saga, path: "", step: "", ...otherSaga }), revision)',
    replace: "",
    tests: [columns]
  },
  {
    rule: "C20",
    what: "an execution of another program counts as unreadable as soon as somebody looks at it",
    file: "src/orchestrator/ManagerLive.ts",
    find: "const { bound } = unreadable",
    replace: "const { claimed: bound } = unreadable",
    tests: ["test/orchestrator/Unreadable.test.ts"]
  },
  {
    rule: "C20",
    what: "an execution goes on by facts of a step with another name",
    file: "src/execution/view/Readable.ts",
    find: 'state.effect !== "none" && state.name !== step.name',
    replace: 'state.effect !== "none" && state.name === ""',
    tests: [readable, columns]
  },
  {
    rule: "C16",
    what: "an execution cannot end whose inputs other hands have removed",
    file: "src/adapters/sql/SqlSagaExecutionRepository.ts",
    find: "if (unread.size > 0) yield* statements.recount([...unread])",
    replace: "",
    tests: [columns]
  },
  {
    rule: "C9",
    what: "retention removes an execution that is not settled",
    file: "src/adapters/sql/RetentionStatements.ts",
    find: " and settled\n              order by settled_at",
    replace: "\n              order by settled_at",
    tests: [columns]
  },
  {
    rule: "C20",
    what: "a transaction whose row cannot be read keeps the others from being looked after",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "if (said.has(uuid) || said.size >= maxSaid) return Effect.succeed([])",
    replace: 'if (uuid !== "") return Effect.die(cause)',
    tests: [participants]
  },
  {
    rule: "C20",
    what: "a page of transactions ends at rows that cannot be read",
    file: "src/adapters/sql/SqlParticipantStore.ts",
    find: "if (rows.length < limit) break",
    replace: "break",
    tests: [participants]
  },
  {
    rule: "C20",
    what: "a defect in the work of one transaction keeps the others from being looked after",
    file: "src/participant/ParticipantMaintenance.ts",
    find: "(transaction) => aside(transaction.uuid, use(transaction))",
    replace: "(transaction) => use(transaction)",
    tests: ["test/participant/Participant.test.ts"]
  },
  {
    rule: "I19",
    what: "a dead letter that cannot be read hides the others",
    file: "src/adapters/sql/SqlDeadLetters.ts",
    find: 'Effect.as(Effect.logWarning("A dead letter cannot be read", { issue: JsonCodec.placesOf(error) }), [])',
    replace: "Effect.die(error)",
    tests: [participants]
  },
  {
    rule: "C11",
    what: "a migration ends its process when another one is in the way",
    file: "src/adapters/sql/SqlTables.ts",
    find: `isRolledBack(error) || error.reason._tag === "LockTimeoutError"`,
    replace: "false",
    tests: ["test/adapters/sql/SqlTables.test.ts"]
  }
]
