/** Attributes, by which people find executions. */
import type { Mutant } from "./Mutant.ts"

const test = "test/definition/attributes.test.ts"
const memory = "test/ports/SagaExecutionRepository.test.ts"
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
  }
]
