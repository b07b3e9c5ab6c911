/** Queues: places, turns, rates, and what needs none. */
import type { Mutant } from "./Mutant.ts"

const laws = "test/ports/QueueAdmission.test.ts"
const places = "test/execution/rules/places.test.ts"
const memory = "test/ports/SagaExecutionRepository.test.ts"
const managers = "test/orchestrator/queues.test.ts"
const database = "test/adapters/sql/queueAdmission.test.ts"
const admission = "src/ports/QueueAdmission.ts"
const decision = "src/execution/rules/SagaDecision.ts"
const port = "src/ports/SagaQueues.ts"
const statement = "src/adapters/sql/QueueAdmissionStatement.ts"
const regain = "src/adapters/sql/QueueRegainStatement.ts"

const of = (what: string, file: string, find: string, replace: string, ...tests: ReadonlyArray<string>): Mutant => ({
  rule: "C13",
  what,
  file,
  find,
  replace,
  tests
})

export const queues: ReadonlyArray<Mutant> = [
  of(
    "a place that is wanted again goes to another",
    admission,
    'places.filter(({ status }) => status !== "new")',
    'places.filter(({ status }) => status === "held")',
    memory
  ),
  of("what turns back gets a place again", port, 'known.state.direction !== "forward"', "false", memory),
  of(
    "an execution of another instance gets a place again",
    port,
    "(known.hint?.owner ?? owner) !== owner",
    "false",
    memory
  ),
  of(
    "a late question undoes what another instance has written",
    port,
    "known?.state.revision !== revision",
    "known === undefined",
    memory
  ),
  of(
    "a late question undoes a wish in a database",
    regain,
    " and x.revision = f.revision",
    "",
    "test/adapters/sql/SqlSagaExecutionRepository.test.ts"
  ),
  of(
    "what goes on is never asked for at once",
    "src/orchestrator/LoopPlan.ts",
    'before.place?.status === "left"',
    "false",
    managers
  ),
  of(
    "a place is given again by a count from before another admission",
    regain,
    "where l.stands and a.place",
    "where a.place",
    database
  ),
  of("places given again are more than there are", regain, "where turn <= free", "where true", database),
  of("places of a key given again are more than there are", regain, "- coalesce(s.places, 0)\n", "\n", database),
  of(
    "a database gives a place to what another instance has",
    regain,
    "coalesce(x.owner, f.owner) = f.owner",
    "true",
    database
  ),
  of("places that are held are not counted", admission, "concurrency - heldInAll)", "concurrency)", laws),
  of("places of a key that are held are not counted", admission, " - (held.get(key)?.length ?? 0)", "", laws),
  of("what goes on counts for nobody", admission, "Math.min(free - again.length, ", "Math.min(free, ", laws),
  of(
    "what is new comes before what goes on",
    admission,
    "[...again, ...fresh]",
    "fresh.length > 0 ? [...fresh] : [...again]",
    laws
  ),
  of("a rate lets everybody in", admission, "Math.floor(tokens)), (key) =>", "1e9), (key) =>", laws),
  of("a rate of a key lets everybody in", admission, "Math.floor(tokensOf(key)))", "1e9)", laws),
  of(
    "a clock that is put back gives tokens",
    admission,
    "Math.max(0, now - tokens.at)",
    "Math.abs(now - tokens.at)",
    laws
  ),
  of("a lower priority goes first", admission, "b.priority - a.priority", "a.priority - b.priority", memory),
  of(
    "turns begin with the same key each time",
    admission,
    "cursor: admitted.at(-1)?.key ?? memory.cursor",
    "cursor: memory.cursor",
    memory
  ),
  of("tokens are not spent", admission, "left: tokens - fresh.length", "left: tokens", laws),
  of(
    "a local step begins without a place",
    decision,
    "if (!this.lacksPlace()) this.facts",
    "if (true) this.facts",
    places
  ),
  of(
    "a local step of the saga itself begins without a place",
    decision,
    "if (Place.isLacking(self)) return undefined",
    "",
    places
  ),
  of("a remote step begins without a place", decision, "if (this.lacksPlace()) return", "", places),
  of(
    "a place is never given back",
    decision,
    "Place.rests(this.self))\n",
    "this.definition.steps.length < 0)\n",
    places
  ),
  of(
    "a place is given back while a reply is awaited",
    "src/execution/rules/QueuePlace.ts",
    "return frames.length > 0 && frames.every",
    "return frames.every",
    places
  ),
  of(
    "items that all wait hold a place",
    "src/execution/rules/QueuePlace.ts",
    "const frames = framesUnderWay(current)",
    "const frames = current.inner",
    places
  ),
  of("what waits in a queue misses its deadline", decision, "void this.isLate()", "undefined", places),
  of(
    "an admission is for any wish",
    "src/execution/rules/SagaInput.ts",
    " && self.place?.since === input.since",
    "",
    places
  ),
  of("what turns back is admitted", "src/execution/rules/QueuePlace.ts", ' && direction === "forward"', "", places),
  of(
    "a place is held after the end",
    port,
    "place === undefined || isOver(state) || ",
    "place === undefined || ",
    memory
  ),
  of("limits of a person go with each start", port, "if (!isSame) queues.set", "queues.set", memory),
  of(
    "limits of a program are never changed by the next one",
    port,
    "isSame ? known.limits : limits",
    "known?.limits ?? limits",
    memory
  ),
  {
    ...of(
      "two admissions at once do not see each other",
      statement,
      "where l.turn = (select turn from seen)",
      "",
      database
    ),
    needsServer: true
  },
  of("what nobody here knows holds up its key", statement, "::text[] @> array[kind]", "::text[] is not null", database),
  of(
    "an admission is planned anew each time",
    statement,
    `where \${fingerprints}::text[] @> array[kind]`,
    `where kind = any(\${fingerprints}::text[])`,
    "test/adapters/sql/plans.test.ts"
  ),
  of("an admission takes what another one is at work on", statement, "x.owner is null and ", "", database),
  of("a database counts no places", statement, "::int, l.concurrency - (", "::int, l.concurrency + 0 * (", database),
  of(
    "a database admits what goes on last",
    statement,
    "order by is_new, rank, pos",
    "order by is_new desc, rank, pos",
    database
  ),
  of(
    "a database lets a key have all places",
    statement,
    "r.key_concurrency - (",
    "r.key_concurrency + 0 * (",
    database
  ),
  of(
    "a full queue takes more",
    "src/orchestrator/QueuedStart.ts",
    "found.left-- > 0 ? ",
    "found.left-- > -1e9 ? ",
    managers
  ),
  of(
    "an execution that is there is refused by a full queue",
    "src/orchestrator/StartExecution.ts",
    "uuid === undefined ? full : ",
    'uuid !== "" ? full : ',
    managers
  ),
  of(
    "nobody is admitted when a place is free",
    "src/orchestrator/ManagerLive.ts",
    "if (change === null) nextClaim.now()",
    "if (change === null) nextClaim.at(Number.POSITIVE_INFINITY)",
    managers
  )
]
