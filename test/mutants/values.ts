/** Values of callbacks: isolation of the context, and results that cannot be stored. */
import type { Mutant } from "./Mutant.ts"

const test = "test/orchestrator/steps/values.test.ts"

export const values: ReadonlyArray<Mutant> = [
  {
    rule: "F26",
    what: "callbacks share a Date of the context",
    file: "src/execution/view/ContextView.ts",
    find: "return reader.changeable.size === 0 ? view : anew(view, context, reader)",
    replace: "return view",
    tests: [test]
  },
  {
    rule: "F26",
    what: "callbacks share lists of the context that they can change",
    file: "src/execution/view/ContextView.ts",
    find: "return changeable.has(path) ? decoded : JsonCodec.freeze(decoded)",
    replace: "return decoded",
    tests: [test]
  },
  {
    rule: "F26",
    what: "a result that its step changes later is stored as it is then",
    file: "src/wire/JsonCodec.ts",
    find: `return typeof checked === "number" ? copyOf(value as Json) : checked`,
    replace: `return typeof checked === "number" ? (value as Json) : checked`,
    tests: [test]
  },
  {
    rule: "F27",
    what: "a result that cannot be stored is forgotten before it is undone",
    file: "src/orchestrator/steps/LocalStep.ts",
    find: `if (fact._tag === "StepFailed") lostResults.set(fact.failure, { value })`,
    replace: "",
    tests: [test]
  },
  {
    rule: "F27",
    what: "a result that nobody has is undone as if it were there",
    file: "src/orchestrator/steps/LocalStep.ts",
    find: `const isLost = effect === "exists" && failure !== undefined && !lostResults.has(failure)`,
    replace: "const isLost = false",
    tests: [test]
  }
]
