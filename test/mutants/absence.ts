/** SPEC C7 and C20: what passed while nobody was there, and clocks that are set. */
import type { Mutant } from "./Mutant.ts"

const absent = "test/execution/rules/absence.test.ts"
const model = "test/ownership/model.test.ts"
const away = "test/orchestrator/absence.test.ts"
const clock = "test/orchestrator/SteadyClock.test.ts"
const virtual = "test/orchestrator/virtualTime.test.ts"
const member = "test/ports/SagaOwnership.test.ts"

export const absence: ReadonlyArray<Mutant> = [
  {
    rule: "C20",
    what: "a deadline that passed in an absence is applied at once",
    file: "src/execution/rules/PhaseDecision.ts",
    find: "at < presentSince ? Math.max(end, Math.max(attemptSince, presentSince) + initial) : end",
    replace: "end",
    tests: [absent, model, away]
  },
  {
    rule: "C20",
    what: "after an absence nothing is sent once more",
    file: "src/execution/rules/PhaseDecision.ts",
    find: " || seen < presentSince ||",
    replace: " ||",
    tests: [absent]
  },
  {
    rule: "C20",
    what: "a process that starts applies deadlines before it takes replies",
    file: "src/orchestrator/Presence.ts",
    find: "if (begunAt === undefined || !membership.isAlive(now)) return now",
    replace: "if (begunAt === undefined) return 0",
    tests: [away]
  },
  {
    rule: "C20",
    what: "a process without a lease counts as there",
    file: "src/orchestrator/Presence.ts",
    find: "if (begunAt === undefined || !membership.isAlive(now)) return now",
    replace: "if (begunAt === undefined) return now",
    tests: [away]
  },
  {
    rule: "C20",
    what: "a process without a broker counts as there",
    file: "src/orchestrator/Presence.ts",
    find: "if (deafSince !== undefined || now < hearsFrom) return now",
    replace: "if (now < hearsFrom) return now",
    tests: [away]
  },
  {
    rule: "C20",
    what: "a process whose broker was away counts as having been there",
    file: "src/orchestrator/Presence.ts",
    find: "this.hearsFrom = now + restAfter(now - this.deafSince) + this.attemptTime",
    replace: "this.hearsFrom = 0",
    tests: [away]
  },
  {
    rule: "C20",
    what: "what was looked at while the broker was away is not sent once more",
    file: "src/orchestrator/Presence.ts",
    find: "this.hearsFrom = now + restAfter(now - this.deafSince) + this.attemptTime",
    replace: "this.hearsFrom = now",
    tests: [away]
  },
  {
    rule: "C20",
    what: "while the broker is away, what waits for it is looked at every second",
    file: "src/orchestrator/Presence.ts",
    find: "Math.min(30_000, away)",
    replace: "Math.min(0, away)",
    tests: [away]
  },
  {
    rule: "C20",
    what: "a process that was without storage counts as having been there",
    file: "src/ports/SagaOwnership.ts",
    find: "if (wasAway || isBack || !this.isJoined) this.presentSince",
    replace: "if (isBack || !this.isJoined) this.presentSince",
    tests: [member, away]
  },
  {
    rule: "C20",
    what: "the reply of another branch brings a deadline forward that passed in an absence",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "if (self.inbox.inputs.length > 0 || self.since < self.presentSince) self.attemptSince = presence.attempt(now)",
    replace: "if (self.since < self.presentSince) self.attemptSince = presence.attempt(now)",
    tests: [away]
  },
  {
    rule: "C20",
    what: "an execution that is looked at late after an absence has no time left for its attempt",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "if (self.inbox.inputs.length > 0 || self.since < self.presentSince) self.attemptSince = presence.attempt(now)",
    replace: "if (self.inbox.inputs.length > 0) self.attemptSince = presence.attempt(now)",
    tests: [away]
  },
  // ---- F11 -----------------------------------------------------------------------------------------------------
  {
    rule: "C20",
    what: "the time goes back where the clock of the machine is set back",
    file: "src/ports/SteadyClock.ts",
    find: "if (now < this.told) {",
    replace: "if (now < 0) {",
    tests: [clock]
  },
  {
    rule: "C20",
    what: "what a clock leaves out that is set forward counts as heard",
    file: "src/ports/SteadyClock.ts",
    find: "this.leapedAt = now",
    replace: "this.leapedAt = 0",
    tests: [clock]
  },
  {
    rule: "C20",
    what: "a sleep goes on while the clock is set forward past its end",
    file: "src/ports/SteadyClock.ts",
    find: "isVirtual(clock) ? left : Math.min(left, longest)",
    replace: "left",
    tests: [clock]
  },
  // ---- F14 -----------------------------------------------------------------------------------------------------
  {
    rule: "C20",
    what: "an instance that was alone does not hear of another one",
    file: "src/ports/SagaExecutionRepository.ts",
    find: "if (leases.meet(request)) PubSub",
    replace: "if (!leases.meet(request)) PubSub",
    tests: [virtual]
  },
  {
    rule: "C7",
    what: "an instance claims at every interval, though it is alone",
    file: "src/orchestrator/Recovery.ts",
    find: "next.alone(claimed.isAlone === true && nextAt !== undefined)",
    replace: "next.alone(false)",
    tests: [virtual]
  },
  {
    rule: "F14",
    what: "an instance that is alone on a PGlite is not told of another one",
    file: "src/adapters/sql/EmbeddedInstances.ts",
    find: "        yield* renew(other.owner, other.leaseMillis)\n",
    replace: "",
    tests: ["test/adapters/pglite/virtualTime.test.ts"]
  },
  {
    rule: "F14",
    what: "an instance on a PGlite polls",
    file: "src/adapters/sql/EmbeddedInstances.ts",
    find: "const isAlone = rests && others.length === 0",
    replace: "const isAlone = rests && others.length < 0",
    tests: ["test/adapters/pglite/virtualTime.test.ts"]
  },
  {
    rule: "F14",
    what: "what is over is searched for each minute",
    file: "src/adapters/sql/SqlSagaExecutionRepository.ts",
    find: "pause = untilPurge(now, retention, next)",
    replace: "pause = purgeSpacing.least",
    tests: ["test/adapters/pglite/virtualTime.test.ts"]
  },
  {
    rule: "F11",
    what: "a statement has its time by the clock of the day",
    file: "src/adapters/sql/SqlSession.ts",
    find: "Number(realClock.monotonicTimeNanosUnsafe()) / 1_000_000",
    replace: "realClock.currentTimeMillisUnsafe()",
    tests: ["test/adapters/sql/SqlSession.test.ts"]
  }
]
