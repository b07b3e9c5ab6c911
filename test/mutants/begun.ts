/** SPEC C6, I4: a handler that runs without a transaction, at least once. */
import type { Mutant } from "./Mutant.ts"

const model = "test/participant/begun.model.test.ts"
const outside = "test/participant/atLeastOnce.test.ts"
const table = "test/participant/ParticipantDecision.test.ts"

const messages = "src/participant/BegunMessages.ts"
const running = "src/participant/RunBegun.ts"

export const begun: ReadonlyArray<Mutant> = [
  {
    rule: "I4",
    what: "a copy of a message runs a handler without a transaction that runs already",
    file: messages,
    find: `if (until <= now) return`,
    replace: `if (true) return`,
    tests: [model, outside]
  },
  {
    rule: "C6",
    what: "a handler without a transaction does not run again after a crash",
    file: messages,
    find: `if (until <= now) return`,
    replace: `if (false) return`,
    tests: [model, outside]
  },
  {
    rule: "C6",
    what: "a probe does not see the handler that runs",
    file: messages,
    find: `op === "probe" || op === "failure" ? barriers`,
    replace: `op === "failure" ? barriers`,
    tests: [model, outside, table]
  },
  {
    rule: "C6",
    what: "a compensation does not see the handler that runs",
    file: messages,
    find: `op === "probe" || op === "failure" ? barriers`,
    replace: `op === "probe" ? barriers`,
    tests: [model, outside, table]
  },
  {
    rule: "C6",
    what: "a rejection ends a handler that runs, and nothing undoes its effect",
    file: "src/participant/HandleMessage.ts",
    find: `accepted.filter((row) => Accepted.runsUntil(row) === undefined),`,
    replace: `accepted,`,
    tests: [model, outside, table]
  },
  {
    rule: "C6",
    what: "a handler without a transaction that dies is answered 500, as if it had no effect",
    file: "src/participant/ParticipantHandlers.ts",
    find: `return ran.value.reply.status === 500 ? undefined : ran.value`,
    replace: `return ran.value`,
    tests: [model, outside]
  },
  {
    rule: "I4",
    what: "a handler without a transaction that takes long does not say that it still runs",
    file: running,
    find: `BegunMessages.runningUntil(row, until)`,
    replace: `row`,
    tests: [model, outside]
  },
  {
    rule: "I4",
    what: "a handler without a transaction runs again because the store was away when it ended",
    file: running,
    find: `({ reason }) => reason === "unavailable"`,
    replace: `() => false`,
    tests: [outside]
  },
  {
    rule: "I4",
    what: "a compensation without a transaction leaves the record of an effect",
    file: running,
    find: `[...(executed === undefined ? [] : [{ ...executed, ...none }]), `,
    replace: `[`,
    tests: [model, outside]
  },
  {
    rule: "C6",
    what: "a staged effect is taken from a handler without a transaction",
    file: "src/participant/HandlerSettings.ts",
    find: `if (command.effect === "staged")`,
    replace: `if (false)`,
    tests: [outside]
  },
  {
    rule: "I4",
    what: "a process that was too slow gives back what another one runs",
    file: running,
    find: `const isOwn = found === said || found === tried`,
    replace: `const isOwn = true`,
    tests: [outside, model]
  },
  {
    rule: "I4",
    what: "the second result of a handler without a transaction counts too",
    file: running,
    find: `return row?.status === 202 ? use(unit, row, now) : Effect.undefined`,
    replace: `return row === undefined ? Effect.undefined : use(unit, row, now)`,
    tests: [model, outside]
  },
  {
    rule: "C7",
    what: "a process that stops in good order keeps what it has begun",
    file: running,
    find: `Effect.onInterrupt(ended, () => ShutdownGrace.briefly(givenBack))`,
    replace: `ended`,
    tests: [model, outside]
  },
  {
    rule: "C6",
    what: "a handler without a transaction that has died counts as running",
    file: running,
    find: `Effect.as(givenBack, { _tag: "unknown" } as const)`,
    replace: `Effect.succeed({ _tag: "unknown" } as const)`,
    tests: [model, outside]
  },
  {
    rule: "I4",
    what: "a handler without a transaction gets another key each time",
    file: "src/participant/ParticipantHandlers.ts",
    find: `handler.handle(payload, envelope.id)`,
    replace: `handler.handle(payload, crypto.randomUUID())`,
    tests: [model, outside]
  },
  {
    rule: "I1",
    what: "no compensation comes for what was done without a transaction",
    file: "src/participant/AcceptedMessages.ts",
    find: `effect: ran._tag === "HandlerSucceeded" ? ran.effect : "none",`,
    replace: `effect: "none",`,
    tests: [model, outside]
  },
  {
    rule: "C14",
    what: "what was done without a transaction is purged before its compensation",
    file: "src/participant/AcceptedMessages.ts",
    find: `open: ran._tag === "HandlerSucceeded" && ran.open,`,
    replace: `open: false,`,
    tests: [model, outside]
  },
  {
    rule: "C14",
    what: "the answer of a handler that has run again is purged at once",
    file: "src/participant/AcceptedMessages.ts",
    find: `  effect: ran._tag === "HandlerSucceeded" ? ran.effect : "none",
  open: ran._tag === "HandlerSucceeded" && ran.open,
  accepted: undefined,
  keepUntil: Math.max(row.keepUntil, now)`,
    replace: `  effect: ran._tag === "HandlerSucceeded" ? ran.effect : "none",
  open: ran._tag === "HandlerSucceeded" && ran.open,
  accepted: undefined`,
    tests: [model]
  },
  {
    rule: "C6",
    what: "a question does not run again what nobody runs any more",
    file: messages,
    find: `if (until <= now) return { _tag: "Resume", row }`,
    replace: `if (until <= now) return row.id === envelope.id ? { _tag: "Resume", row } : action`,
    tests: [model, outside]
  },
  {
    rule: "I4",
    what: "a handler that runs again does not say that it runs",
    file: "src/participant/HandleMessage.ts",
    find: `begin(unit, BegunMessages.runningUntil(action.row, now + BegunMessages.claim))`,
    replace: `begin(unit, action.row)`,
    tests: [model]
  }
]
