/** SPEC C20 and I28: writes and claims that are answered late, and instances whose lease is over. */
import type { Mutant } from "./Mutant.ts"

const late = "test/orchestrator/lateWrites.test.ts"
const held = "test/orchestrator/heldResults.test.ts"
const loop = "src/orchestrator/ExecutionLoop.ts"
const facts = "src/orchestrator/RecordFacts.ts"
const port = "src/ports/SagaOwnership.ts"
const supervisor = "src/orchestrator/ExecutionSupervisor.ts"

export const lateWrites: ReadonlyArray<Mutant> = [
  {
    rule: "C20",
    what: "a write that lands under a former name is not taken again",
    file: loop,
    find: "(self.isUnsure || (self.isHeld && record.isFormerly(self))) &&",
    replace: "self.isUnsure &&",
    tests: [late]
  },
  {
    rule: "C20",
    what: "a write found after a lost answer is not taken again",
    file: facts,
    find: "(self.isUnsure = membership !== undefined && self.isHeld)",
    replace: "(self.isUnsure = false)",
    tests: [late]
  },
  {
    rule: "C20",
    what: "after a lost answer a step that has not begun counts as half done",
    file: loop,
    find: `postpone(self, planned._tag === "Store" ? planned.then.work : planned.work)`,
    replace: "",
    tests: [late]
  },
  {
    rule: "C20",
    what: "an instance whose lease is over writes",
    file: loop,
    find: "if (execution.revision > 0 && isOver) return Effect.fail(Record.notRenewed)\n",
    replace: "",
    tests: [late]
  },
  {
    rule: "C20",
    what: "an instance whose lease is over tries a write again",
    file: facts,
    find: `      if (execution.revision > 0 && membership?.isAlive(undefined, execution.uuid) === false) {
        wasAway = true
        return Effect.fail(notRenewed)
      }
`,
    replace: "",
    tests: [late]
  },
  {
    rule: "F4",
    what: "a result is dropped where the database of another branch is away for long",
    file: facts,
    find: "self.failedCommits > maxFailedCommits && !isKept(self)",
    replace: "self.failedCommits > maxFailedCommits",
    tests: [held]
  },
  {
    rule: "F4",
    what: "a result is dropped where the store goes away after a refused write",
    file: facts,
    find: "const newer = yield* persist(self, takeUp(load, isContested))",
    replace: `const newer = yield* Effect.retry(takeUp(load, isContested), { schedule: untilStored, while: isUnavailable })`,
    tests: [held]
  },
  {
    rule: "W5",
    what: "a deadline is stored although a reply has come since it was decided",
    file: facts,
    find: "wasAway || self.inbox.inputs.length > 0",
    replace: "false",
    tests: [held]
  },
  {
    rule: "W5",
    what: "what was decided before an absence is stored after it",
    file: facts,
    find: "wasAway || self.inbox.inputs.length > 0",
    replace: "self.inbox.inputs.length > 0",
    tests: [held]
  },
  {
    rule: "I28",
    what: "what names a former name of the instance is lost",
    file: port,
    find: "this.epoch === 1 || lost.length === 0",
    replace: "lost.length >= 0",
    tests: [late]
  },
  {
    rule: "I28",
    what: "what another instance has is not lost",
    file: port,
    find: "onSuccess: (holder) => holder !== this.owner",
    replace: "onSuccess: () => false",
    tests: [late]
  },
  {
    rule: "C20",
    what: "a transactional step commits with the intent of a next step although the lease is over",
    file: loop,
    find: "membership?.isAlive(now, self.execution.uuid) !== false",
    replace: "true",
    tests: [late]
  },
  {
    rule: "C20",
    what: "the time of a commit is not seen before the next step begins",
    file: loop,
    find: "the lease.\n      return self.clock.currentTimeMillisUnsafe()\n",
    replace: "the lease.\n      return now\n",
    tests: [late]
  },
  {
    rule: "C20",
    what: "who has not renewed takes executions from others",
    file: port,
    find: "sparesAll || isBack || !this.isAlive(undefined, request.uuid)",
    replace: "sparesAll || isBack",
    tests: [late]
  },
  {
    rule: "C20",
    what: "what names a former name of the instance counts as another's",
    file: port,
    find: "this.isFormer(holder) ? this.takeNow(request, holder, sparesAll) : Effect.succeed(holder)",
    replace: "Effect.succeed(holder)",
    tests: [late]
  },
  {
    rule: "C20",
    what: "each execution that is lost is asked for, though the claim says who has it",
    file: port,
    find: "holders?.has(uuid) === true && !this.isFormer(holders.get(uuid))",
    replace: "false",
    tests: [late]
  },
  {
    rule: "C20",
    what: "what names a former name of the instance is lost where the claim says who has it",
    file: port,
    find: "holders?.has(uuid) === true && !this.isFormer(holders.get(uuid))",
    replace: "holders?.has(uuid) === true",
    tests: [late]
  },
  {
    rule: "I28",
    what: "an execution that was taken since the claim was read is lost",
    file: port,
    find: "claimed.lost.filter((uuid) => !taken.has(uuid))",
    replace: "claimed.lost",
    tests: [late]
  },
  {
    rule: "I28",
    what: "an execution that was written since the claim was sent is lost",
    file: supervisor,
    find: "if (!this.admission.isNewer(uuid)) this.on",
    replace: "this.on",
    tests: [late]
  },
  {
    rule: "C20",
    what: "a message that the broker does not come back from keeps an instance from renewing its lease",
    file: "src/orchestrator/Resends.ts",
    find: "          duration: limit,",
    replace: "          duration: limit * 1_000_000,",
    tests: ["test/orchestrator/slowBroker.test.ts"]
  }
]
