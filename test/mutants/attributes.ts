/** Attributes, by which people find executions. */
import type { Mutant } from "./Mutant.ts"

const test = "test/definition/attributes.test.ts"
const memory = "test/ports/SagaExecutionRepository.test.ts"
const later = "test/orchestrator/attributes.test.ts"
const joint = "test/adapters/sql/transactionalSteps.test.ts"
const sql = "test/adapters/sql/SqlSagaExecutionRepository.test.ts"

export const attributes: ReadonlyArray<Mutant> = [
  {
    rule: "C11",
    what: "any number of attributes is stored",
    file: "src/definition/Attributes.ts",
    find: "if (entries.length > maxAttributes)",
    replace: "if (entries.length > 1_000)",
    tests: [test]
  },
  {
    rule: "C11",
    what: "an attribute of any length is stored",
    file: "src/definition/Attributes.ts",
    find: "Text.issueOf(value, Text.maxBytes.attribute)",
    replace: "Text.issueOf(value, 4_096)",
    tests: [test]
  },
  {
    rule: "C11",
    what: "executions are found by one of the attributes",
    file: "src/ports/ExecutionSummary.ts",
    find: "Object.entries(filter.attributes).every(",
    replace: "Object.entries(filter.attributes).some(",
    tests: [memory]
  },
  {
    rule: "C11",
    what: "executions are found by the first attribute only (SQL)",
    file: "src/adapters/sql/ListStatements.ts",
    find: "attributes: has(sql, attributes)",
    replace: "attributes: has(sql, undefined)",
    tests: [sql]
  },
  {
    rule: "C11",
    what: "attributes behind steps may be any number in all",
    file: "src/definition/Attributes.ts",
    find: "return count > maxAttributes",
    replace: "return count > 1_000",
    tests: [test]
  },
  {
    rule: "C11",
    what: "attributes stand in the steps of items",
    file: "src/definition/SagaValidation.ts",
    find: 'if (at.path.includes("/i/")) yield',
    replace: 'if (at.path === "") yield',
    tests: [test]
  },
  {
    rule: "C11",
    what: "attributes behind steps replace all others",
    file: "src/execution/rules/SagaEvolution.ts",
    find: "attributes: { ...self.attributes, ...event.attributes }",
    replace: "attributes: event.attributes",
    tests: [later]
  },
  {
    rule: "C11",
    what: "attributes behind steps wait for a later write",
    file: "src/orchestrator/LoopPlan.ts",
    find: "execution: LaterAttributes.added(execution),",
    replace: "execution,",
    tests: [later]
  },
  {
    rule: "C11",
    what: "attributes behind a transactional step are forgotten",
    file: "src/orchestrator/TransactionalStep.ts",
    find: "const written = LaterAttributes.added(next)",
    replace: "const written = next",
    tests: [joint]
  },
  {
    rule: "C11",
    what: "the attributes of a nested saga become those of its outer one",
    file: "src/orchestrator/LaterAttributes.ts",
    find: 'attributes === undefined || path.includes("/n/")',
    replace: "attributes === undefined",
    tests: [later]
  },
  {
    rule: "C11",
    what: "the head keeps the attributes of the start (SQL)",
    file: "src/adapters/sql/WriteStatements.ts",
    find: "attributes = ${row}.attributes, ",
    replace: "",
    tests: [sql]
  },
  {
    rule: "C11",
    what: "executions are found by the attributes that they had (SQL)",
    file: "src/adapters/sql/WriteStatements.ts",
    find: "on conflict (uuid, name) do update set value = excluded.value where a.value <> excluded.value",
    replace: "on conflict do nothing",
    tests: [sql]
  },
  {
    rule: "C11",
    what: "executions are found by the attributes of their start only (SQL)",
    file: "src/adapters/sql/WrittenSummaries.ts",
    find: 'if (node.head._tag === "AttributesChanged") return true',
    replace: 'if (node.head._tag === "ExecutionCreated") return true',
    tests: [sql]
  }
]
