/** Responses by hand, and bounds: of services that take part, and of durations. */
import type { Mutant } from "./Mutant.ts"

const inputs = "test/execution/rules/SagaInput.test.ts"

export const responses: ReadonlyArray<Mutant> = [
  {
    rule: "F20",
    what: "a response without a name answers a step with a contract",
    file: "src/execution/rules/TrustedResponse.ts",
    find: "others.length === 0 && isUntyped(definition, only.path)",
    replace: "others.length === 0",
    tests: [inputs]
  },
  {
    rule: "F20",
    what: "another answer to the same step is taken for the same",
    file: "src/execution/rules/TrustedResponse.ts",
    find: "reply !== undefined && isSame(reply, answer)",
    replace: "reply !== undefined",
    tests: [inputs]
  },
  {
    rule: "F20",
    what: "a response whose name nobody awaits is dropped in silence",
    file: "src/execution/rules/TrustedResponse.ts",
    find: "if (answered.length > 0 || wasAsked(self, requests, requestId)) return unchanged",
    replace: "return unchanged",
    tests: [inputs]
  },
  {
    rule: "C16",
    what: "a refusal by hand counts as a proof",
    file: "src/execution/rules/SagaInput.ts",
    find: "answer.proven === true ? judged.success",
    replace: "true ? judged.success",
    tests: [inputs]
  },
  {
    rule: "C16",
    what: "a refusal by hand that a handler recovered from is not probed",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: `else if (event.recovered !== true) finished.effect = "exists"`,
    replace: `else finished.effect = event.recovered === true ? "none" : "exists"`,
    tests: [inputs]
  },
  {
    rule: "F24",
    what: "a reply may name any number of services",
    file: "src/execution/rules/EnrolmentEvolution.ts",
    find: "if (named.length > maxRelatedServices)",
    replace: "if (named.length > 1e9)",
    tests: [inputs]
  },
  {
    rule: "F24",
    what: "any number of services take part in an execution",
    file: "src/execution/rules/EnrolmentEvolution.ts",
    find: "const maxEnrolled = 256",
    replace: "const maxEnrolled = 1e9",
    tests: [inputs]
  },
  {
    rule: "F23",
    what: "a step may have a timeout that cannot be stored",
    file: "src/definition/SagaValidation.ts",
    find: "millis >= 0 && millis <= limits.duration",
    replace: "millis >= 0 && Number.isFinite(millis)",
    tests: ["test/definition/SagaValidation.test.ts"]
  },
  {
    rule: "C11",
    what: "an option of a start that there is not is lost in silence",
    file: "src/orchestrator/ManagerArguments.ts",
    find: "!Object.hasOwn(names, name)",
    replace: `name === "" && !Object.hasOwn(names, name)`,
    tests: ["test/orchestrator/hostile.test.ts"]
  }
]
