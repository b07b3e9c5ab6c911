/** SPEC C10, C20: what is stored and cannot be read waits for a program that can; what comes and does not fit is its sender's fault. */
import type { Mutant } from "./Mutant.ts"

const change = "test/orchestrator/schemaChange.test.ts"
const readable = "test/execution/view/Readable.test.ts"
const unreadable = "test/orchestrator/Unreadable.test.ts"
const input = "test/execution/rules/SagaInput.test.ts"
const drift = "test/orchestrator/Drift.test.ts"

export const reading: ReadonlyArray<Mutant> = [
  {
    rule: "C10",
    what: "an execution goes on although a stored value cannot be read",
    file: "src/execution/view/Readable.ts",
    find: "const found = problemOf(self.state, definition, service)",
    replace: "const found = problemOf(self.state, definition, service) && undefined",
    tests: [change, readable]
  },
  {
    rule: "C10",
    what: "the results of steps are not read before an execution goes on",
    file: "src/execution/view/Readable.ts",
    find: "if (codec === undefined) return undefined",
    replace: `if (codec === undefined || (path !== "" && !path.endsWith("/n/"))) return undefined`,
    tests: [readable, change]
  },
  {
    rule: "C10",
    what: "the initial values of a nested saga are not read before an execution goes on",
    file: "src/execution/view/Readable.ts",
    find: "if (codec === undefined) return undefined",
    replace: `if (codec === undefined || path.endsWith("/n/")) return undefined`,
    tests: [readable, change]
  },
  {
    rule: "C10",
    what: "steps inside others are not read before an execution goes on",
    file: "src/execution/view/Readable.ts",
    find: "return own ?? start ?? first(framesIn(state), (frame) => this.frame(frame))",
    replace: "return own ?? start",
    tests: [readable]
  },
  {
    rule: "C10",
    what: "a reply that a compensation reads may be of another type",
    file: "src/execution/view/Readable.ts",
    find: `if (status === "running-on-success" || (isUndone && reply.status === 200))`,
    replace: `if (status === "running-on-success")`,
    tests: [readable]
  },
  {
    rule: "C10",
    what: "a reply that is still to be handled may be of another type",
    file: "src/execution/view/Readable.ts",
    find: `if (status === "running-on-success" || (isUndone && reply.status === 200))`,
    replace: "if (isUndone && reply.status === 200)",
    tests: [readable]
  },
  {
    rule: "C8",
    what: "a reply that has never fitted makes its execution unreadable",
    file: "src/execution/view/Readable.ts",
    find: `if (reply === undefined || (failure?._tag === "StepValueRejected" && failure.rule === "decode")) return undefined`,
    replace: "if (reply === undefined) return undefined",
    tests: [readable]
  },
  {
    rule: "C10",
    what: "a declared error of another type does not keep a rollback from going on",
    file: "src/execution/view/Readable.ts",
    find: "return ended ?? reply ?? errorOf(this.definition, state)",
    replace: "return ended ?? reply",
    tests: [readable, change]
  },
  {
    rule: "C10",
    what: "a result that came during a rollback may be of another type",
    file: "src/execution/view/Readable.ts",
    find: "return ended ?? reply ?? errorOf(this.definition, state)",
    replace: "return reply ?? errorOf(this.definition, state)",
    tests: [readable]
  },
  {
    rule: "C10",
    what: "a decided commit waits for values that nobody reads any more",
    file: "src/execution/view/Readable.ts",
    find: `  (self.decision !== "commit" || self.status !== "finished") &&`,
    replace: "",
    tests: [readable]
  },
  {
    rule: "C10",
    what: "a service goes on with executions that another one has started",
    file: "src/execution/view/Readable.ts",
    find: "if (service !== undefined && start !== undefined && start.service !== service) {",
    replace: "if (service !== undefined && start !== undefined && start.service === undefined) {",
    tests: [change, readable]
  },
  {
    rule: "C5",
    what: "a reply is not read when it comes",
    file: "src/execution/rules/ReceivedReply.ts",
    find: "if (issue === undefined) return [fact]",
    replace: "if (issue !== null) return [fact]",
    tests: [input]
  },
  {
    rule: "C10",
    what: "a caller gets a result of another type",
    file: "src/orchestrator/ManagerResult.ts",
    find: `  const unreadable = unreadableResult(self)
  if (unreadable !== undefined) return Effect.fail(unreadable)
  if (self.status === "finished")`,
    replace: `  if (self.status === "finished")`,
    tests: [change]
  },
  {
    rule: "C10",
    what: "a view that another program has decoded is read",
    file: "src/execution/view/ContextValues.ts",
    find: "cache?.by === decode ? cache.view : undefined",
    replace: "cache?.view",
    tests: ["test/execution/rules/SagaContext.test.ts"]
  },
  {
    rule: "C20",
    what: "a runner by hand goes on with what it cannot read",
    file: "src/orchestrator/SagaRunner.ts",
    find: "afterCrash(yield* Effect.fromResult(Readable.read(execution, definition)), now)",
    replace:
      "afterCrash(yield* Effect.fromResult(Readable.read(execution, definition)).pipe(Effect.orElseSucceed(() => execution)), now)",
    tests: [unreadable]
  },
  {
    rule: "C20",
    what: "a runner goes on from a newer state that it cannot read",
    file: "src/orchestrator/RecordFacts.ts",
    find: "Effect.fromResult(Readable.read(latest, self.definition))",
    replace: "Effect.succeed(Execution.bind(latest, self.definition))",
    tests: [unreadable]
  },
  {
    rule: "C20",
    what: "an execution that a process cannot read stays its own (memory)",
    file: "src/ports/Leases.ts",
    find: "const isGivenBack = given.has(state.uuid) ||",
    replace: "const isGivenBack =",
    tests: [change, unreadable]
  },
  {
    rule: "C20",
    what: "an execution that a process cannot read stays its own (SQL)",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: `    if (gives.length > 0) yield* call("claim", statements.disown(owner, gives))\n`,
    replace: "",
    tests: [change]
  },
  {
    rule: "C20",
    what: "an execution that another process has brought further is not looked at again",
    file: "src/orchestrator/Unreadable.ts",
    find: "      if (isGone) return\n",
    replace: "",
    tests: [unreadable]
  },
  {
    rule: "C10",
    what: "a reply to an execution that cannot be read is dropped",
    file: "src/orchestrator/ManagerControl.ts",
    find: ' || error._tag === "SagaExecutionUnreadable" || SendSignal.isOfNewer(error)',
    replace: " || SendSignal.isOfNewer(error)",
    tests: [change]
  },
  {
    rule: "C10",
    what: "the check before a deployment does not read the values",
    file: "src/orchestrator/Drift.ts",
    find: "if (problem !== undefined) unreadable.push(problem)",
    replace: "if (problem === null) unreadable.push(problem)",
    tests: [change, drift]
  },
  {
    rule: "C10",
    what: "a signal that was accepted is refused for its payload",
    file: "src/execution/rules/SignalInput.ts",
    find: '&& !(reason === "payload" && accepted === true)',
    replace: "",
    tests: ["test/orchestrator/schemaChangeSignal.test.ts"]
  },
  {
    rule: "C10",
    what: "an execution goes on over a signal that it cannot read",
    file: "src/orchestrator/LoopPlan.ts",
    find: "self.inbox.stop !== undefined || self.unreadable !== undefined",
    replace: "self.inbox.stop !== undefined",
    tests: ["test/orchestrator/schemaChangeSignal.test.ts"]
  },
  {
    rule: "C10",
    what: "a sender waits ten seconds for a program that can read the execution",
    file: "src/orchestrator/SignalDoor.ts",
    find: '  error._tag === "SagaDefinitionDrift" ||\n',
    replace: "",
    tests: ["test/orchestrator/schemaChangeSignal.test.ts"]
  },
  {
    rule: "C10",
    what: "load gives the types of a saga to an execution of another version",
    file: "src/orchestrator/LoadExecution.ts",
    find: "if (creation.fingerprint !== fingerprint)",
    replace: `if (creation.fingerprint === "")`,
    tests: ["test/orchestrator/load.test.ts"]
  }
]
