/** Mutants of what the log and the messages of errors say to a person. */
import type { Mutant } from "./Mutant.ts"

const codes = "test/ports/DatabaseCode.test.ts"

export const words: ReadonlyArray<Mutant> = [
  {
    rule: "I21",
    what: "what a database says to a message that is tried again stands nowhere",
    file: "src/ports/Consumer.ts",
    find: "Effect.tapError(again, DatabaseCode.warnLasting)",
    replace: "again",
    tests: [codes]
  },
  {
    rule: "I21",
    what: "a line that comes with each try fills the log",
    file: "src/ports/NowAndThen.ts",
    find: "if (at !== undefined && !isOver(at)) return Effect.void",
    replace: "",
    tests: [codes]
  },
  {
    rule: "F23",
    what: "a time of some seconds that is given as a number is one of some milliseconds",
    file: "src/ports/Setting.ts",
    find: "input > 0 && input < 100",
    replace: "input < 0",
    tests: ["test/ports/Setting.test.ts"]
  },
  {
    rule: "F23",
    what: "a broker has no room for a single message",
    file: "src/ports/Setting.ts",
    find: "{ least: leastOutgoing }",
    replace: "{ least: 1 }",
    tests: ["test/ports/Setting.test.ts"]
  },
  {
    rule: "C12",
    what: "nobody hears which field of a payload does not fit",
    file: "src/participant/ParticipantHandlers.ts",
    find: "  return Effect.as(NowAndThen.write(`${service} ${command} ${reason}`, line), refused(reason))",
    replace: "  return Effect.succeed(refused(reason))",
    tests: ["test/participant/refusals.test.ts"]
  },
  {
    rule: "F30",
    what: "a saga is not registered, only itself",
    file: "src/definition/SagaRegistry.ts",
    find: "if (this.known.includes(this.saga))",
    replace: "if (this.known.length < 0)",
    tests: ["test/definition/SagaRegistry.test.ts"]
  },
  {
    rule: "C8",
    what: "an execution whose facts cannot be stored waits without a word",
    file: "src/orchestrator/RecordFacts.ts",
    find: "const said = Effect.tapError(ask, DatabaseCode.warnLasting)",
    replace: "const said = ask",
    tests: ["test/orchestrator/outage.test.ts"]
  }
]
