/** SPEC C20, where executions fall into buckets: what moves with a bucket, and what is handed on. */
import type { Mutant } from "./Mutant.ts"

const repository = "test/ports/SagaExecutionRepository.test.ts"
const moving = "test/orchestrator/buckets.test.ts"
const sql = "test/adapters/sql/SqlSagaExecutionRepository.test.ts"
const owners = "src/adapters/sql/OwnershipStatements.ts"

export const buckets: ReadonlyArray<Mutant> = [
  {
    rule: "C20",
    what: "a claim gives executions of other buckets (memory)",
    file: "src/ports/Leases.ts",
    find: "        !isStrange &&\n",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "what names its owner in a bucket that has moved stays there (memory)",
    file: "src/ports/Leases.ts",
    find: " || (isStrange && seen === undefined)",
    replace: "",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "an instance that leaves a bucket keeps what it was at work on (memory)",
    file: "src/ports/Leases.ts",
    find: "execution.hint?.owner !== owner || !buckets.includes",
    replace: "execution.hint?.owner !== owner || true || buckets.includes",
    tests: [repository]
  },
  {
    rule: "C20",
    what: "what names its owner in a bucket that has moved stays there (SQL)",
    file: owners,
    find: "given_back as (${disowned(sql`strange`)})",
    replace: "given_back as (select)",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "an instance that leaves a bucket gives back what it has elsewhere (SQL)",
    file: owners,
    find: "atWork(owner, isIn(left))",
    replace: "atWork(owner, sql`true`)",
    tests: [sql]
  },
  {
    rule: "C20",
    what: "a step is interrupted when its execution becomes another instance's",
    file: "src/orchestrator/Slot.ts",
    find: `slot?._tag === "Running" ? { _tag: "Stop", inbox: slot.inbox } : { _tag: "Interrupt" }`,
    replace: `{ _tag: "Interrupt" }`,
    tests: [moving]
  },
  {
    rule: "C20",
    what: "a bucket moves while a step runs in it",
    file: "src/orchestrator/ExecutionSupervisor.ts",
    find: "ofPart.end(Fiber.awaitAll(fibers), this.interruptAll(isGone))",
    replace: "ofPart.end(Effect.void, Effect.void)",
    tests: [moving]
  },
  {
    rule: "C20",
    what: "a reply that comes to another instance is not handed on",
    file: "src/orchestrator/ManagerControl.ts",
    find: "if (handOn === undefined || isMine(uuid)) return taken",
    replace: "if (handOn !== null || isMine(uuid)) return taken",
    tests: [moving]
  }
]
