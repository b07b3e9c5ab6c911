/** Values of callbacks: isolation of the context, and results that cannot be stored. */
import type { Mutant } from "./Mutant.ts"

const test = "test/orchestrator/steps/values.test.ts"
const odd = "test/orchestrator/oddValues.test.ts"
const doors = "test/orchestrator/hostile.test.ts"
const noEffect = "test/orchestrator/noEffect.test.ts"

export const values: ReadonlyArray<Mutant> = [
  {
    rule: "F26",
    what: "each step of a saga without initial values copies the context",
    file: "src/wire/JsonCodec.ts",
    find: "|| isOpen(json.ast) ",
    replace: "",
    tests: ["test/wire/JsonCodec.test.ts"]
  },
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
    find: "return isInitial ? JsonCodec.freezeInside(decoded) : JsonCodec.freeze(decoded)",
    replace: "return decoded",
    tests: [test]
  },
  {
    rule: "F26",
    what: "a result that its step changes later is stored as it is then",
    file: "src/wire/JsonLimits.ts",
    find: `return typeof again === "number" ? copy : again`,
    replace: `return typeof again === "number" ? (value as Json) : again`,
    tests: [test]
  },
  {
    rule: "C16",
    what: "a getter that changes makes a fact that cannot be stored",
    file: "src/wire/JsonLimits.ts",
    find: "const again = check(copy, bounds)",
    replace: "const again: number | JsonIssue = checked",
    tests: ["test/wire/JsonLimits.test.ts"]
  },
  {
    rule: "C16",
    what: "a declared error of any size is stored",
    file: "src/wire/JsonCodec.ts",
    find: `return typeof size === "number" && size <= maxContextSize ? encoded : undefined`,
    replace: "return size !== undefined ? encoded : undefined",
    tests: [odd]
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
  },
  {
    rule: "I19",
    what: "the answer to a question goes to whom its id says",
    file: "src/orchestrator/DecisionConsumer.ts",
    find: `envelope.id === messageId(envelope.saga, envelope.service, "status")`,
    replace: `envelope.id !== ""`,
    tests: [doors]
  },
  {
    rule: "C16",
    what: "what plain JavaScript gives as an actor is stored",
    file: "src/orchestrator/ManagerArguments.ts",
    find: "return issue === undefined ? undefined : invalid(name, issue)",
    replace: "return undefined",
    tests: [doors]
  },
  {
    rule: "0069",
    what: "a removed value is kept by former tables",
    file: "src/ports/ReleasingMap.ts",
    find: "    box.value = undefined\n    // The last",
    replace: "    // The last",
    tests: ["test/ports/ReleasingMap.test.ts"]
  },
  {
    rule: "0069",
    what: "former tables refer to all later ones",
    file: "src/ports/ReleasingMap.ts",
    find: "this.boxes = new Map(this.boxes)",
    replace: "",
    tests: ["test/ports/ReleasingMap.test.ts"]
  },
  {
    rule: "F13",
    what: "a callback that gives no effect ends the runner",
    file: "src/ports/SagaTransaction.ts",
    find: "Effect.isEffect(effect) ? effect : Effect.die(new TypeError(noEffect))",
    replace: "effect",
    tests: [noEffect]
  },
  {
    rule: "F13",
    what: "code that ends its fiber ends that of the library",
    file: "src/ports/SagaTransaction.ts",
    find: "      inOwnFiber(\n",
    replace: "      (it => it)(\n",
    tests: [noEffect]
  },
  {
    rule: "F13",
    what: "a step that has ended its runner ends the next one",
    file: "src/orchestrator/Slot.ts",
    find: "hasDied: deaths > 0",
    replace: "hasDied: false",
    tests: [noEffect]
  }
]
