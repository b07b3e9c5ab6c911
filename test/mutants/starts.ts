/** Steps that start another saga: once, and undone only when that one is. */
import type { Mutant } from "./Mutant.ts"

const start = "test/orchestrator/sagaStart.test.ts"
const definition = "test/definition/start.test.ts"
const laws = "test/execution/rules/laws.test.ts"

export const starts: ReadonlyArray<Mutant> = [
  {
    rule: "C9",
    what: "some variants of a uuid are drawn more often than others",
    file: "src/wire/Uuid.ts",
    find: "text[at + 4] = variant\n",
    replace: "text[at + 4] = variants[text[at + 4]! & 3]!\n",
    tests: ["test/wire/Uuid.test.ts"]
  },
  {
    rule: "C9",
    what: "a start that is repeated takes its own execution for that of another",
    file: "src/orchestrator/StartedSagas.ts",
    find: "existing === uuid",
    replace: 'existing === ""',
    tests: [start]
  },
  {
    rule: "C5",
    what: "the execution of another starter is undone",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: 'if (step.kind === "wait" || event.existing === true) finished.effect = "none"',
    replace: 'if (step.kind === "wait") finished.effect = "none"',
    tests: [start]
  },
  {
    rule: "C5",
    what: "a start counts as undone while the other saga still goes back",
    file: "src/orchestrator/StartedSagas.ts",
    find: 'if (status === "errored" && alreadyRollback) return { _tag: "Undone" }',
    replace: 'if (direction === "backward") return { _tag: "Undone" }',
    tests: [start]
  },
  {
    rule: "C5",
    what: "a saga behind its pivot counts as finished",
    file: "src/orchestrator/StartedSagas.ts",
    find: 'if (status === "finished") return { _tag: "Finished", ...contextOf(registry, state) }',
    replace: 'if (status !== "errored") return { _tag: "Finished", ...contextOf(registry, state) }',
    tests: [start]
  },
  {
    rule: "C8",
    what: "to look at the started saga is an attempt to undo it",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: "failedAttempts + (isOpen ? 0 : 1)",
    replace: "failedAttempts + 1",
    tests: ["test/execution/rules/start.test.ts"]
  },
  {
    rule: "C5",
    what: "a start that is half done is undone without a look at what it makes",
    file: "src/execution/rules/RollbackEvolution.ts",
    find: '(step.kind === "local" || step.kind === "start") && isRunning(step)',
    replace: 'step.kind === "local" && isRunning(step)',
    tests: [laws, "test/execution/rules/start.test.ts"]
  },
  {
    rule: "C5",
    what: "what is started during the rollback runs its steps",
    file: "src/orchestrator/steps/StartStep.ts",
    find: 'scope.state.direction === "backward"',
    replace: "false",
    tests: [start]
  },
  {
    rule: "C10",
    what: "the fingerprint has no name of the saga that a step starts",
    file: "src/definition/SagaShape.ts",
    find: "return { type, name, path, saga: step.saga }",
    replace: "return { type, name, path }",
    tests: [definition]
  },
  {
    rule: "C10",
    what: "a saga may start one that its manager does not have",
    file: "src/orchestrator/Registration.ts",
    find: 'if (step._tag !== "Start" || registry.has(step.definition())) continue',
    replace: "continue",
    tests: [start]
  },
  {
    rule: "C13",
    what: "room that was made during a claim is seen at the next interval only",
    file: "src/orchestrator/Admission.ts",
    find: "    if (this.room >= this.few) return tell()\n",
    replace: "",
    tests: ["test/orchestrator/places.test.ts"]
  }
]
