/** SPEC C16 and C18: which signal ends which wait, what time may end, and what is told to who sends. */
import type { Mutant } from "./Mutant.ts"

const rules = "test/execution/rules/waits.test.ts"
const laws = "test/execution/rules/laws.test.ts"
const steps = "test/orchestrator/steps/waits.test.ts"
const definition = "test/definition/waits.test.ts"
const signals = "test/orchestrator/signals.test.ts"
const cancel = "test/orchestrator/cancel.test.ts"
const turns = "test/orchestrator/LoopPlan.test.ts"
const model = "test/ownership/waits.test.ts"

export const waits: ReadonlyArray<Mutant> = [
  {
    rule: "C16",
    what: "a signal ends two waits",
    file: "src/execution/rules/SagaSignals.ts",
    find: "    left.splice(i, 1)\n",
    replace: "",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "a used signal is there for the next wait as well",
    file: "src/execution/rules/SagaSignals.ts",
    find: "id === undefined ? self.unused : self.unused.filter((signal) => signal.id !== id)",
    replace: "self.unused",
    tests: [rules, laws]
  },
  {
    rule: "C16",
    what: "a wait takes signals of any key",
    file: "src/execution/rules/SagaSignals.ts",
    find: "self.signal === other.signal && self.key === other.key",
    replace: "self.signal === other.signal",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "waits take signals in the order of their paths, whichever began first",
    file: "src/execution/rules/SagaSignals.ts",
    find: "waits[i - 1]!.startedAt === wait.startedAt && ",
    replace: "",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "waits that began at one time take signals in the order of their facts",
    file: "src/execution/rules/SagaSignals.ts",
    find: "return numberIn(parts[at]!) < numberIn(others[at]!)",
    replace: "return false",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "the same signal again is a second one",
    file: "src/execution/rules/SagaSignals.ts",
    find: "find(self, signal.id) === undefined",
    replace: "true",
    tests: [laws, rules]
  },
  {
    rule: "C16",
    what: "a signal that an open wait takes at once is too many",
    file: "src/execution/rules/SagaSignals.ts",
    find: "maxUnused + waits.filter((wait) => isFor(signal, wait)).length",
    replace: "maxUnused",
    tests: [rules]
  },
  {
    rule: "C11",
    what: "there is no limit to unused signals",
    file: "src/execution/rules/SignalInput.ts",
    find: "return SagaSignals.isFull(signals, fact)",
    replace: "return false",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "a known id that says something else is answered as stored",
    file: "src/execution/rules/SignalInput.ts",
    find: "says(before) === says(fact)",
    replace: "true",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "a signal that the saga does not know is stored",
    file: "src/execution/rules/SignalInput.ts",
    find: `if (known === undefined) return "unknown-signal"`,
    replace: "if (known === undefined) return undefined",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "a finished execution takes signals",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `self.direction === "forward" && self.status !== "finished"`,
    replace: `self.direction === "forward"`,
    tests: [rules]
  },
  {
    rule: "C16",
    what: "an execution that is rolled back takes signals",
    file: "src/execution/rules/SagaEvolution.ts",
    find: `self.direction === "forward" && self.status !== "finished"`,
    replace: `self.status !== "finished"`,
    tests: [rules]
  },
  {
    rule: "C16",
    what: "time fails a wait whose signal is there",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: `  !(failure._tag === "StepTimedOut" && SagaSignals.taken(self.signals).has(step.path)) &&\n`,
    replace: "",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "a wait that fails keeps the others from the signals that are there for them",
    file: "src/execution/rules/SagaDecision.ts",
    find: "...this.facts.filter(tookSignal), failure",
    replace: "failure",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "onTimeout ends a wait whose signal is there",
    file: "src/execution/rules/ForwardEvolution.ts",
    find: "  SagaSignals.taken(self.signals).get(step.path)?.id === signal &&\n",
    replace: "",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "a wait that is over leaves its place among those who wait",
    file: "src/execution/rules/SagaSignals.ts",
    find: "self.waits.filter((wait) => wait.path !== path)",
    replace: "self.waits",
    tests: [rules, laws]
  },
  {
    rule: "C16",
    what: "the time of a wait is never over",
    file: "src/execution/rules/WaitDecision.ts",
    find: `  return failed(path, "errored-by-on-execute", { _tag: "StepTimedOut", path, step: step.name, deadline }, at)`,
    replace: "  return at + 1",
    tests: [rules, steps]
  },
  {
    rule: "C11",
    what: "a payload may make the context larger than its limit",
    file: "src/execution/rules/WaitDecision.ts",
    find: "  if (size > maxContextSize) return",
    replace: "  if (size < 0) return",
    tests: [rules]
  },
  {
    rule: "C11",
    what: "a time of the context may be more than 10 years ahead",
    file: "src/orchestrator/steps/WaitStep.ts",
    find: "deadline > at + limits.duration",
    replace: "deadline < 0",
    tests: [steps]
  },
  {
    rule: "C18",
    what: "an execution whose time is over goes on",
    file: "src/execution/rules/SagaDecision.ts",
    find: "    if (this.isLate()) return\n",
    replace: "",
    tests: [rules]
  },
  {
    rule: "C18",
    what: "a deadline turns back what is decided",
    file: "src/execution/rules/SagaDecision.ts",
    find: "deadline === undefined || decision !== null",
    replace: "deadline === undefined",
    tests: [laws, rules]
  },
  {
    rule: "C18",
    what: "a local step that begins is not looked at when the time of its execution is over",
    file: "src/execution/rules/SagaDecision.ts",
    find: " || self.deadline !== undefined) return undefined",
    replace: ") return undefined",
    tests: [rules]
  },
  {
    rule: "C16",
    what: "two branches may wait for one signal without keys",
    file: "src/definition/WaitValidation.ts",
    find: "if (awaitedBy !== undefined)",
    replace: 'if (awaitedBy === "")',
    tests: [definition]
  },
  {
    rule: "C16",
    what: "a wait without a limit stands behind a request without a deadline",
    file: "src/definition/SagaValidation.ts",
    find: "  if (deadline === undefined) yield* WaitValidation.deadlineRequired(definition, transactional)\n",
    replace: "",
    tests: [definition]
  },
  {
    rule: "C16",
    what: "a process that knows no saga loses the answer of one signal when it sends the next",
    file: "src/orchestrator/Slot.ts",
    find: 'isUnknown(cause) ? "callers" : "everybody"',
    replace: '"everybody"',
    tests: [signals]
  },

  // ---- by the model of two instances ----------------------------------------------------------------------------
  {
    rule: "C16",
    what: "the same signal again is refused when its execution has ended",
    file: "src/execution/rules/SignalInput.ts",
    find: "if (before !== undefined) {",
    replace: "if (before !== undefined && evolve(self, fact) !== self) {",
    tests: [model, rules]
  },
  {
    rule: "I24",
    what: "a wait ends a second before its time",
    file: "src/execution/rules/WaitDecision.ts",
    find: "if (deadline > at) return deadline",
    replace: "if (deadline > at + 1_000) return deadline",
    tests: [model]
  },
  {
    rule: "C16",
    what: "the result of onTimeout stands before a signal that came while it was made",
    file: "src/orchestrator/Progress.ts",
    find: "if ((isJoint || self.inbox.inputs.length > 0) && endsWait(facts, self.execution.state)) return\n",
    replace: "",
    tests: [turns, model]
  },
  {
    rule: "C16",
    what: "the result of onTimeout stands beside a step that commits with its record",
    file: "src/orchestrator/Progress.ts",
    find: "(isJoint || self.inbox.inputs.length > 0)",
    replace: "self.inbox.inputs.length > 0",
    tests: [turns]
  },
  {
    rule: "C16",
    what: "the result of onTimeout is offered again where a signal has come first",
    file: "src/orchestrator/Progress.ts",
    find: "    if (judged === undefined && endsWait(facts, state)) return false\n",
    replace: "",
    tests: [model]
  },
  {
    rule: "C16",
    what: "an execution that waits keeps its owner",
    file: "src/orchestrator/LoopPlan.ts",
    find: "waiting: (wakeAt) => ({ wakeAt, closes: true })",
    replace: "waiting: (wakeAt) => ({ owner: membership.owner, wakeAt, closes: true })",
    tests: [model]
  },
  {
    rule: "C16",
    what: "a write leaves the inputs in the inbox whose facts it has",
    file: "src/orchestrator/LoopPlan.ts",
    find: "...(reads.length > 0 && { reads }), ",
    replace: "",
    tests: [model]
  },
  {
    rule: "C16",
    what: "an input does not make due what waits (memory)",
    file: "src/ports/SagaExecutionRepository.ts",
    find: "    known.hint = dueFrom(known.hint, row.at)\n",
    replace: "",
    tests: [model]
  },
  {
    rule: "C16",
    what: "an input of another process leaves no outcome",
    file: "src/orchestrator/Progress.ts",
    find: "gain(self, outcome === undefined ? facts : [...facts, outcome], judged)",
    replace: "gain(self, facts, judged)",
    tests: [model]
  },
  {
    rule: "C16",
    what: "a refusal is remembered",
    file: "src/ports/InboxInput.ts",
    find: "return refused === 0 ? said",
    replace: "return refused >= 0 ? said",
    tests: [signals]
  },
  {
    rule: "C16",
    what: "a signal is stored for an execution that has ended",
    file: "src/ports/SagaInbox.ts",
    find: `  if (status === "finished" || status === "errored") return "ended"\n`,
    replace: "",
    tests: ["test/ports/SagaExecutionRepository.test.ts"]
  },
  {
    rule: "C16",
    what: "a signal is stored for an execution that goes back",
    file: "src/ports/SagaInbox.ts",
    find: `  if (direction === "backward") return "going-back"\n`,
    replace: "",
    tests: [model]
  },
  {
    rule: "C16",
    what: "a signal that was taken since its sender has read is refused",
    file: "src/orchestrator/SendSignal.ts",
    find: "latest !== undefined && (yield* isThere(latest, signal))",
    replace: "latest === undefined",
    tests: [model]
  },
  {
    rule: "C16",
    what: "inputs for which a write was refused are not read",
    file: "src/orchestrator/RecordFacts.ts",
    find: "    Inbox.offerAll(self.inbox, (yield* rows).map(StoredInput.pendingOf))",
    replace: "    yield* rows",
    tests: [signals, "test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "C16",
    what: "a signal without a payload cannot be read where onTimeout has a result",
    file: "src/wire/JsonCodec.ts",
    find: 'ast._tag === "Union" ? ast.types.some(takesNothing) : ',
    replace: "",
    tests: [steps]
  },
  {
    rule: "C16",
    what: "a wait keeps its execution from being rolled back",
    file: "src/execution/rules/SagaDecision.ts",
    find: "        return this.compensated(state.path)\n",
    replace: "        return\n",
    tests: [rules, model]
  },
  {
    rule: "C16",
    what: "signals of one name with different keys are one signal",
    file: "src/orchestrator/SignalDoor.ts",
    find: "id: id ?? (key === undefined",
    replace: "id: id ?? (key === undefined || key !== undefined",
    tests: [signals, "test/orchestrator/items.test.ts", "test/testing/SagaTest.items.test.ts"]
  },
  {
    rule: "C16",
    what: "the sender of a signal does not wait until it is applied",
    file: "src/orchestrator/SignalDoor.ts",
    find: "duration: patience, orElse",
    replace: "duration: 0, orElse",
    tests: [signals]
  },
  {
    rule: "C16",
    what: "a cancel waits for the step that runs",
    file: "src/orchestrator/ExecutionInput.ts",
    find: 'const patience = "10 seconds"',
    replace: 'const patience = "1 hour"',
    tests: [cancel]
  },
  {
    rule: "C16",
    what: "a cancel whose caller was answered is in the memory of its process only",
    file: "src/orchestrator/CancelDoor.ts",
    find: "if (facts.length === 0 || (yield* isLeft(keeper, uuid, input))) return execution",
    replace: "if (facts.length >= 0) return execution",
    tests: [cancel]
  },
  {
    rule: "C16",
    what: "a step that cancels its own saga waits for itself",
    file: "src/orchestrator/CancelDoor.ts",
    find: "caller?.uuid === uuid ? 0 : patience",
    replace: "patience",
    tests: [cancel]
  }
]
