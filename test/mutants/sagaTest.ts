/** What a test says of a saga: answers, times, and the crash points that it tries. */
import type { Mutant } from "./Mutant.ts"

const run = "test/testing/SagaTest.run.test.ts"
const crashes = "test/testing/SagaTest.test.ts"
const services = "src/testing/ScriptedServices.ts"

export const sagaTests: ReadonlyArray<Mutant> = [
  {
    rule: "C8",
    what: "a service that a test calls silent hears the request all the same",
    file: services,
    find: `line.answer.says._tag === "Silence" ? Effect.void : this.inner.publish(message)`,
    replace: "this.inner.publish(message)",
    tests: [run]
  },
  {
    rule: "C8",
    what: "the reply to a repetition comes before the late one",
    file: services,
    find: "return due <= now ? all : Effect.void",
    replace: "return all",
    tests: [run]
  },
  {
    rule: "W2",
    what: "the second copy of a reply does not come",
    file: services,
    find: "{ times: copies - 1 }",
    replace: "{ times: 0 }",
    tests: [run]
  },
  {
    rule: "C15",
    what: "a step without an answer waits until its deadline",
    file: services,
    find: "this.failure ??= line",
    replace: "this.failure ??= undefined",
    tests: [run]
  },
  {
    rule: "C15",
    what: "participants of the test take the messages that the script answers",
    file: services,
    find: "this.played.has(group.service) && group.kinds",
    replace: "false && group.kinds",
    tests: [run]
  },
  {
    rule: "C16",
    what: "a signal comes before what is due at its moment",
    file: "src/testing/RunSaga.ts",
    find: "due.at <= time.now()",
    replace: "due.at <= Math.max(time.now(), time.next())",
    tests: [run]
  },
  {
    rule: "C15",
    what: "a step that said that it did nothing counts as compensated by the test",
    file: "src/testing/RunSaga.ts",
    find: ": sent.has(path)",
    replace: ": step !== undefined",
    tests: [run]
  },
  {
    rule: "C15",
    what: "the crash points of one step are those of all steps",
    file: "src/testing/CrashFilter.ts",
    find: "(stepNames.length === 0 || paths.some(isWithin))",
    replace: "true",
    tests: [crashes]
  },
  {
    rule: "C15",
    what: "a scenario forgets the other replies when one is said anew",
    file: "src/testing/Scenario.ts",
    find: "replies: { ...options.replies, ...what.replies }",
    replace: "replies: { ...what.replies }",
    tests: ["test/testing/Scenario.test.ts"]
  },
  {
    rule: "C16",
    what: "a crash point is tried without its signals",
    file: "src/testing/CrashPoints.ts",
    find: "tell(options.signals ?? [], startKey, time.now())",
    replace: "tell([], startKey, time.now())",
    tests: ["test/testing/SagaTest.waits.test.ts"]
  },
  {
    rule: "C15",
    what: "a crash point of a saga that takes longer than an hour is given up",
    file: "src/testing/CrashPoints.ts",
    find: "passed < tenYears",
    replace: "passed < hour",
    tests: ["test/testing/SagaTest.waits.test.ts"]
  },
  {
    rule: "C19",
    what: "SagaTest answers a command at once that answers later",
    file: "src/testing/ScriptedServices.ts",
    find: `if (later === true) {`,
    replace: `if (false) {`,
    tests: ["test/testing/SagaTest.later.test.ts"]
  },
  {
    rule: "C15",
    what: "a manager that is stopped at a crash point goes on writing",
    file: "src/testing/CrashPoints.ts",
    find: `stopped ||= stopsAt(`,
    replace: `if (stopped) return Effect.void
        stopped = stopsAt(`,
    tests: ["test/orchestrator/later.crash.test.ts"]
  }
]
