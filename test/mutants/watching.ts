/** Mutants of spans, metrics and annotations of the log. */
import type { Mutant } from "./Mutant.ts"

const traces = "test/orchestrator/traces.test.ts"

export const watching: ReadonlyArray<Mutant> = [
  {
    rule: "I21",
    what: "the text that an error has in place of a name becomes a label",
    file: "src/orchestrator/MeasureFacts.ts",
    find: ".test(text) ? text : Metrics.other",
    replace: ".test(text) ? text : text",
    tests: ["test/orchestrator/MeasureFacts.test.ts"]
  },
  {
    rule: "I21",
    what: "hostile names make as many series as there are names",
    file: "src/ports/Metrics.ts",
    find: "const isFull = this.size >= maxSeries",
    replace: "const isFull = false",
    tests: ["test/ports/Metrics.test.ts"]
  },
  {
    rule: "I21",
    what: "an activation has no link to the one before",
    file: "src/orchestrator/ExecutionTrace.ts",
    find: "const links = [begun, before].filter((span) => span !== undefined)",
    replace: "const links = [begun].filter((span) => span !== undefined)",
    tests: [traces]
  },
  {
    rule: "I21",
    what: "what a participant does is not in the trace of its message",
    file: "src/participant/TakeMessages.ts",
    find: "const parent = Tracing.spanOf(trace)",
    replace: "const parent = Tracing.spanOf(id)",
    tests: [traces]
  },
  {
    rule: "C3",
    what: "a transaction that an older release has started is ended by messages with a trace",
    file: "src/execution/rules/TwoPhaseCommit.ts",
    find: "self.start?.tracesEnd === true && self.start.trace !== undefined",
    replace: "self.start?.trace !== undefined",
    tests: ["test/execution/rules/TwoPhaseCommit.test.ts"]
  },
  {
    rule: "C3",
    what: "a message that ends a transaction is another one with a trace",
    file: "src/wire/Envelope.ts",
    find: "...(endsTransaction(plain) && { trace: undefined })",
    replace: "",
    tests: ["test/wire/Envelope.test.ts"]
  },
  {
    rule: "I21",
    what: "the end of a transaction is not in the trace of its start",
    file: "src/orchestrator/ExecutionInput.ts",
    find: "...(transactional && { tracesEnd: true as const })",
    replace: "",
    tests: [traces]
  },
  {
    rule: "I21",
    what: "the head of an execution does not get the trace that comes after its first write",
    file: "src/adapters/sql/WriteStatements.ts",
    find: ", trace = ${row}.trace",
    replace: "",
    tests: ["test/adapters/sql/SqlInspector.test.ts"]
  },
  {
    rule: "I21",
    what: "a summary does not say the trace of its start",
    file: "src/ports/ExecutionSummary.ts",
    find: "...(state.start?.trace !== undefined && { trace: state.start.trace }),",
    replace: "",
    tests: ["test/ports/Inspector.test.ts"]
  },
  {
    rule: "F31",
    what: "a mode of tracing that there is not counts as another",
    file: "src/ports/Tracing.ts",
    find: 'yield* checked("SagaTracing.mode", mode)',
    replace: "yield* Effect.void",
    tests: ["test/orchestrator/settings.test.ts"]
  },
  {
    rule: "F31",
    what: "the path of the health routes may be any text",
    file: "src/console/Health.ts",
    find: 'yield* Setting.path("SagaHealth.path", path)',
    replace: 'path.replace(/\\/+$/, "")',
    tests: ["test/orchestrator/settings.test.ts"]
  }
]
