/** SPEC C16 and C20 on the side of the orchestrator: who writes, who begins, and what is read before a wait. */
import type { Mutant } from "./Mutant.ts"

const ownership = "test/orchestrator/ownership.test.ts"
const signals = "test/orchestrator/signals.test.ts"
const buckets = "test/orchestrator/buckets.test.ts"
const member = "test/ports/SagaOwnership.test.ts"
const port = "src/ports/SagaOwnership.ts"
const loop = "src/orchestrator/ExecutionLoop.ts"
const plan = "src/orchestrator/LoopPlan.ts"
const turns = "test/orchestrator/LoopPlan.test.ts"
const start = "src/orchestrator/StartExecution.ts"
const kept = "test/orchestrator/kept.test.ts"
const keeping = "src/orchestrator/KeptExecutions.ts"

export const owning: ReadonlyArray<Mutant> = [
  // ---- C20: executions that wait for a reply are kept where their callers are -------------------------------------
  {
    rule: "C20",
    what: "every reply is preceded by a read",
    file: keeping,
    find: "isReply ? this.executions.get(uuid) : undefined",
    replace: "isReply ? undefined : this.executions.get(uuid)",
    tests: [kept]
  },
  {
    rule: "C20",
    what: "a reply is taken without a read although nobody waits for its execution",
    file: keeping,
    find: "  forget(uuid: string): void {\n    this.executions.delete(uuid)",
    replace: "  forget(_: string): void {",
    tests: [kept]
  },
  {
    rule: "C20",
    what: "a reply that fits the newer state is dropped by an older one",
    file: loop,
    find: "if (self.isOld === true && ",
    replace: "if (self.isOld === true && self.since < 0 && ",
    tests: [kept]
  },
  // ---- C16 -----------------------------------------------------------------------------------------------------
  {
    rule: "C16",
    what: "a wait begins over an input that was not read",
    file: plan,
    find: "waiting: (wakeAt) => ({ wakeAt, closes: true })",
    replace: "waiting: (wakeAt) => ({ wakeAt })",
    tests: [ownership]
  },
  {
    rule: "C16",
    what: "a deadline is applied over a reply that was not read",
    file: plan,
    find: "const closes = closesInbox(before, state)",
    replace: "const closes = false",
    tests: [ownership]
  },
  {
    rule: "C16",
    what: "a wait ends by time over a signal that was not read",
    file: plan,
    find: "return fact.timedOut === true",
    replace: "return false",
    tests: [turns]
  },
  {
    rule: "C16",
    what: "a wait whose `onTimeout` fails turns the execution back over a signal that was not read",
    file: plan,
    find: '|| stepAt(root, fact.path)?.step.kind === "wait"',
    replace: "",
    tests: [turns]
  },
  {
    rule: "C16",
    what: "a wait begins beside work over a signal that was not read",
    file: plan,
    find: `    case "WaitStarted":\n`,
    replace: "",
    tests: [turns]
  },
  {
    rule: "C16",
    what: "an execution ends over an input that was not read, where services are told of it",
    file: plan,
    find: `    case "ExecutionFinished":\n`,
    replace: "",
    tests: [turns]
  },
  {
    rule: "I23",
    what: "two that say the same are two rows",
    file: "src/ports/InboxInput.ts",
    find: "const said = `signal:$",
    replace: "const said = Uuid.v7(now) + `signal:$",
    tests: [signals]
  },
  {
    rule: "I23",
    what: "a signal to a process that does not know the saga is refused",
    file: "src/orchestrator/HandOn.ts",
    find: 'error._tag === "SagaDefinitionDrift" &&\n    error.known.length === 0',
    replace: "error instanceof Elsewhere",
    tests: [signals]
  },
  {
    rule: "I24",
    what: "an instance counts by its own clock",
    file: "src/ports/SteadyClock.ts",
    find: "    return heard === undefined\n",
    replace: "    return heard !== null\n",
    tests: ["test/orchestrator/SteadyClock.test.ts"]
  },
  {
    rule: "C16",
    what: "an input that comes to an instance that does not have the execution is judged there",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: "    if (!isMine(uuid)) {",
    replace: '    if (uuid === "") {',
    tests: [buckets]
  },
  // ---- C20: who has it -----------------------------------------------------------------------------------------
  {
    rule: "C20",
    what: "a write takes an execution from an instance that is at work on it",
    file: plan,
    find: "const takes = !isHeld && execution.revision > 0",
    replace: "const takes = !isHeld && execution.revision < 0",
    tests: [ownership]
  },
  {
    rule: "C20",
    what: "a new execution gets a uuid that is another instance's",
    file: start,
    find: "    if (isMine(uuid)) return uuid",
    replace: '    if (isMine(uuid) || uuid !== "") return uuid',
    tests: [buckets]
  },
  {
    rule: "C20",
    what: "an execution that its caller has named runs at two instances",
    file: start,
    find: "return !membership.isMine(execution.uuid)",
    replace: 'return execution.uuid === ""',
    tests: [buckets]
  },
  // ---- C20: epochs ---------------------------------------------------------------------------------------------
  {
    rule: "C20",
    what: "an instance with a new name does not say its former one",
    file: port,
    find: "        this.former = owner\n",
    replace: "        this.former = this.id\n",
    tests: [member]
  },
  {
    rule: "C20",
    what: "an instance that was away takes from others at once",
    file: port,
    find: "      if (wasAway) this.sparesUntil = begun.nanos + this.nanos\n",
    replace: "",
    tests: [member]
  },
  {
    rule: "C20",
    what: "an instance that was away spares others by claims, and not by what it takes",
    file: port,
    find: "sparesUntil > 0n && this.clock.monotonicTimeNanosUnsafe() < sparesUntil",
    replace: "false",
    tests: [member]
  },
  {
    rule: "C20",
    what: "a lease counts from the answer to the claim",
    file: port,
    find: "this.since(isFresh && owner === this.owner ? this.renewed.nanos : begun.nanos)",
    replace: "isFresh ? this.renewed : this.moment()",
    tests: [member]
  },
  {
    rule: "C20",
    what: "a claim that renews no lease counts as a renewal",
    file: port,
    find: "this.since(isFresh && owner === this.owner ? this.renewed.nanos : begun.nanos)",
    replace: "this.since(begun.nanos)",
    tests: [member]
  },
  // ---- C20: nothing begins without a lease -----------------------------------------------------------------------
  {
    rule: "C20",
    what: "an instance counts itself as alive for ever",
    file: port,
    find: "return nanos - this.renewed.nanos < this.nanos",
    replace: "return nanos - this.renewed.nanos < this.nanos || nanos > 0n",
    tests: [member]
  },
  {
    rule: "C20",
    what: "a step begins although the lease is over",
    file: loop,
    find: `    if (act.work.length > 0 && membership?.isAlive(isLater ? undefined : now, self.execution.uuid) === false)
      return untilAlive(self, act.work, now)
`,
    replace: "",
    tests: ["test/orchestrator/lateWrites.test.ts"]
  },
  {
    rule: "C20",
    what: "a reply to an execution of a saga that is not here is dropped",
    file: "src/orchestrator/ManagerControl.ts",
    find: 'error._tag === "SagaDefinitionDrift" ||',
    replace: "false ||",
    tests: ["test/orchestrator/ReplyConsumer.test.ts"]
  }
]
