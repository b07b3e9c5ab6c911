/** Sagas that start by a calendar. */
import type { Mutant } from "./Mutant.ts"

const due = "test/orchestrator/DueTicks.test.ts"
const test = "test/orchestrator/SagaSchedule.test.ts"
const memory = "test/ports/SagaExecutionRepository.test.ts"
const sql = "test/adapters/sql/SqlSagaExecutionRepository.test.ts"
const database = "test/adapters/sql/schedules.test.ts"
const door = "src/orchestrator/ScheduledStart.ts"

export const schedules: ReadonlyArray<Mutant> = [
  {
    rule: "C9",
    what: "a last tick in the future silences a schedule",
    file: "src/orchestrator/SagaSchedule.ts",
    find: "if (last <= beyond || !(yield*",
    replace: "if (last > 0 || !(yield*",
    tests: [test]
  },
  {
    rule: "C9",
    what: "a last tick is put back wherever it is",
    file: "src/adapters/sql/ScheduleStatements.ts",
    find: " and tick > ${whole(beyond)} returning tick",
    replace: " and tick <> ${whole(beyond + 1)} returning tick",
    tests: [sql]
  },
  {
    rule: "C9",
    what: "a tick is started by every process",
    file: door,
    find: "return (yield* pass(tick)) ? yield* repository.store(execution, firstHint(execution)) : undefined",
    replace: "yield* pass(tick)\n          return yield* repository.store(execution, firstHint(execution))",
    tests: [test]
  },
  {
    rule: "C9",
    what: "the last tick goes back",
    file: "src/ports/ScheduleTicks.ts",
    find: "at > (ticks.get(schedule) ?? Number.NEGATIVE_INFINITY)",
    replace: "at !== ticks.get(schedule)",
    tests: [memory]
  },
  {
    rule: "C9",
    what: "the last tick in the database goes back",
    file: "src/adapters/sql/ScheduleStatements.ts",
    find: "where t.tick < excluded.tick",
    replace: "where t.tick <> excluded.tick",
    tests: [sql]
  },
  {
    rule: "C9",
    what: "a tick that is in time counts as missed",
    file: "src/orchestrator/DueTicks.ts",
    find: "now - at > inTime && ",
    replace: "",
    tests: [due, test]
  },
  {
    rule: "C9",
    what: "all missed ticks are made",
    file: "src/orchestrator/DueTicks.ts",
    find: "++missed > catchUp",
    replace: "++missed > 1_000",
    tests: [due, test]
  },
  {
    rule: "C9",
    what: "what is left out is said at each look",
    file: "src/orchestrator/SagaSchedule.ts",
    find: "(yield* door.pass({ schedule, at: leftOut }))",
    replace: "leftOut > 0",
    tests: [test]
  },
  {
    rule: "C9",
    what: "a tick that gives no execution stops the later ones",
    file: "src/orchestrator/SagaSchedule.ts",
    find: "if (Cause.hasInterrupts(cause) || isOfTheStore) return Effect.failCause(cause)",
    replace: "if (Cause.hasInterrupts(cause) || at > 0) return Effect.failCause(cause)",
    tests: [test]
  },
  {
    rule: "C9",
    what: "a tick is passed while the repository is away",
    file: "src/orchestrator/SagaSchedule.ts",
    find: "Cause.hasInterrupts(cause) || isOfTheStore",
    replace: "Cause.hasInterrupts(cause)",
    tests: [test]
  },
  {
    rule: "C20",
    what: "a last tick that is no time ends the loop of its schedule again and again",
    file: "src/orchestrator/SagaSchedule.ts",
    find: "Cron.next(cron, new Date(now))",
    replace: "Cron.next(cron, new Date(Math.max(now, last)))",
    tests: [test]
  },
  {
    rule: "C9",
    what: "the execution of a tick waits until somebody claims for another reason",
    file: "src/orchestrator/ManagerLive.ts",
    find: "if (!nextClaim.isOver) return Effect.sync(nextClaim.soon)",
    replace: "if (!nextClaim.isOver) return Effect.void",
    tests: [database]
  }
]
