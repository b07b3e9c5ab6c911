/** SPEC C17 and I25: how many items are under way, when they begin, how they are undone, and what they give. */
import type { Mutant } from "./Mutant.ts"

const rules = "test/execution/rules/items.test.ts"
const laws = "test/execution/rules/items.laws.test.ts"
const runs = "test/testing/SagaTest.items.test.ts"
const values = "test/testing/SagaTest.itemValues.test.ts"
const definition = "test/definition/items.test.ts"
const items = "src/execution/rules/StepItems.ts"

export const forItems: ReadonlyArray<Mutant> = [
  {
    rule: "C17",
    what: "one item more is under way than the step says",
    file: items,
    find: "window.length < self.concurrency &&",
    replace: "window.length <= self.concurrency &&",
    tests: [rules]
  },
  {
    rule: "C17",
    what: "items that have not begun begin after the first failure",
    file: items,
    find: "  if (self.left !== undefined) return self\n",
    replace: "  if (self.window.length > 0) return self\n",
    tests: [laws]
  },
  {
    rule: "C17",
    what: "items are undone from the first to the last",
    file: items,
    find: "left: self.window, window: [], next: last",
    replace: "left: self.window, window: [], next: 0",
    tests: [laws]
  },
  {
    rule: "C17",
    what: "an item whose turn has not come is undone at once",
    file: items,
    find: "left: self.window, window: [], next: last",
    replace: "left: self.window, window: self.window, next: last",
    tests: [rules]
  },
  {
    rule: "C17",
    what: "what runs in an item whose turn has not come is dropped",
    file: "src/execution/rules/SagaDecision.ts",
    find: "for (const frame of Items.left(state.items)) this.letEnd(frame, step.steps)",
    replace: "{}",
    tests: [rules]
  },
  {
    rule: "C17",
    what: "the results of items stand in the order in which the items ended",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: "Items.all(items).map(({ context }) => context)",
    replace: "Items.all(items).map(({ context }) => context).toReversed()",
    tests: [runs]
  },
  {
    rule: "C17",
    what: "a list may have any number of items",
    file: "src/orchestrator/steps/ItemsStep.ts",
    find: "if (count > limits.items) return",
    replace: "if (count < 0) return",
    tests: [runs]
  },
  {
    rule: "C11",
    what: "lists inside lists may have any number of items together",
    file: "src/orchestrator/steps/ItemsStep.ts",
    find: "all > limits.itemsOfExecution ?",
    replace: "all < 0 ?",
    tests: [values]
  },
  {
    rule: "C11",
    what: "items that run at the same time may fill more than the context",
    file: "src/execution/rules/SagaDecision.ts",
    find: "if (size > maxContextSize) this.failed(path",
    replace: "if (size < 0) this.failed(path",
    tests: [values]
  },
  {
    rule: "C16",
    what: "a wait inside an item needs no key",
    file: "src/definition/WaitValidation.ts",
    find: `path.includes("/i/") && parallel.signal !== undefined && !parallel.key`,
    replace: 'path === "" && parallel.signal !== undefined',
    tests: [definition]
  },
  {
    rule: "C10",
    what: "an execution may go on with another name for its items",
    file: "src/definition/SagaShape.ts",
    find: "return { type, name, path, as: step.as, steps: step.steps.map(identity) }",
    replace: "return { type, name, path, steps: step.steps.map(identity) }",
    tests: [definition]
  },
  {
    rule: "F26",
    what: "a callback changes a value of the results of items for those that follow",
    file: "src/execution/view/ContextView.ts",
    find: `if ((step._tag === "Nested" || step._tag === "ForEach") &&`,
    replace: `if (step._tag === "Nested" &&`,
    tests: [values]
  }
]
