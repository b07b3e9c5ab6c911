/**
 * C19, I27: every crash point of an orchestrator whose service answers later: around the command, the word that it is accepted, the
 * answer, the question what became of it, its compensation, and the votes and decisions about it. The lab lives on, and gives its
 * answer when it is ready, whoever is there. On a database with `SAGA_TEST_REPOSITORY=pglite`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, type Duration, Effect, Exit, Layer, Logger, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import {
  type Broker,
  Participant,
  type ParticipantStore,
  Saga,
  type SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { SagaTest } from "effect-saga/testing"
import { makeWorld, type Opened, open, quiet } from "../fixtures/manager.ts"
import * as Pglite from "../fixtures/pglite.ts"
import { isMemory } from "../fixtures/repository.ts"

class Ill extends Schema.TaggedError<Ill>()("Ill", {}) {}

const Lab = Participant.make("lab", {
  Examine: { payload: {}, success: Schema.String, error: Ill, answer: "later" },
  Forget: { payload: { result: Schema.String } },
  Print: { payload: {}, error: Ill }
})
const Stop = Signal.make("stop", { payload: Schema.Struct({}) })

const examine = { execute: { command: Lab.commands.Examine, payload: () => ({}) } }
const forget = {
  command: Lab.commands.Forget,
  payload: ({ result }: { readonly result: string }) => ({ result })
}
const print = { execute: { command: Lab.commands.Print, payload: () => ({}) } }
const examined = { ...examine, compensate: forget, timeout: "100 seconds" } as const

const Visit = Saga.make("Visit", { context: {} }).pipe(
  Saga.remote("result", examined),
  Saga.remote("paper", print),
  Saga.commit
)
const InTime = Saga.make("InTime", { context: {}, deadline: "100 seconds" }).pipe(
  Saga.remote("result", { ...examine, compensate: forget }),
  Saga.commit
)
const Sure = Saga.make("Sure", { context: {} }).pipe(
  Saga.pivot,
  Saga.remote("result", { ...examine, timeout: "20 seconds" }),
  Saga.commit
)
/** The other branch ends it. */
const Stopped = Saga.make("Stopped", { context: {} }).pipe(
  Saga.parallel("both", {
    lab: (branch) => branch.pipe(Saga.remote("result", examined)),
    person: (branch) =>
      branch.pipe(
        Saga.waitFor("stop", { signal: Stop, timeout: "1 hour" }),
        Saga.local("leaves", { error: Ill, execute: () => Effect.fail(new Ill()) })
      )
  }),
  Saga.commit
)

/** The lab as a participant. `after`: how long it takes to its answer; undefined: it never answers. */
class Desk extends Context.Service<
  Desk,
  { readonly lines: Array<string>; readonly answer: (result: string) => Effect.Effect<void, unknown> }
>()("test/Desk") {}

type Answer = Effect.Effect<string, Ill>

const labOf = (after: Duration.Input | undefined, said: Answer, printed: Effect.Effect<void, Ill>) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const scope = yield* Scope.Scope
      const lines: Array<string> = []
      const say = (line: string) => Effect.sync(() => void lines.push(line))
      let id = ""
      const answering = (effect: Answer) =>
        Effect.suspend(() =>
          Participant.answer(Lab.commands.Examine, id, effect).pipe(
            Effect.provideContext(answers),
            Effect.timeout("1 hour")
          )
        )
      const answers: Context.Context<Participant.ParticipantAnswers<"lab">> = yield* Layer.build(
        Participant.layer(
          Lab,
          {
            Examine: {
              accept: (_, messageId) =>
                Effect.gen(function* () {
                  yield* say("accept")
                  id = messageId
                  if (after === undefined) return
                  const given = Effect.ignore(answering(Effect.andThen(say("answer"), said)))
                  yield* Effect.forkIn(Effect.delay(given, after), scope)
                }),
              cancelled: () => say("cancelled")
            },
            Forget: ({ result }) => say(`forget ${result}`),
            Print: () => Effect.tap(printed, say("print"))
          },
          { commit: () => say("commit"), reject: () => say("reject") }
        )
      )
      return Context.make(Desk, { lines, answer: (result) => answering(Effect.succeed(result)) })
    })
  )

interface Flow {
  readonly saga: typeof Visit | typeof InTime | typeof Sure | typeof Stopped
  /** When the lab answers. Absent: never. */
  readonly after?: Duration.Input
  readonly said?: Answer
  readonly printed?: Effect.Effect<void, Ill>
  readonly stops?: Duration.Input
  readonly status: "finished" | "errored"
  /** The effects of the lab at the end, each once: one of these lists. The lab is told the decision of a two-phase commit. */
  readonly does: ReadonlyArray<ReadonlyArray<string>>
}

const done = ["accept", "answer"]
const undone = [...done, "forget well"]
const cancelled = ["accept", "cancelled"]
const behindPivot: Flow = { saga: Sure, after: "50 seconds", status: "finished", does: [done] }

const flows: Readonly<Record<string, Flow>> = {
  // The step of virtual time that it comes in goes on for longer than a vote may take.
  "is answered": { saga: Visit, after: "55 seconds", status: "finished", does: [[...done, "print"]] },
  "is answered at once": { saga: Visit, after: 0, status: "finished", does: [[...done, "print"]] },
  "is answered and undone": {
    ...{ saga: Visit, after: "50 seconds", printed: Effect.fail(new Ill()), status: "errored" },
    does: [undone]
  },
  "is refused": {
    ...{ saga: Visit, after: "50 seconds", said: Effect.fail(new Ill()), status: "errored" },
    does: [[...done, "cancelled"]]
  },
  "is never answered": { saga: Visit, status: "errored", does: [cancelled] },
  "is not answered before the deadline": { saga: InTime, status: "errored", does: [cancelled] },
  "is not wanted any more": { saga: Stopped, stops: "50 seconds", status: "errored", does: [cancelled] },
  "is answered when it is not wanted any more": {
    ...{ saga: Stopped, after: 50_001, stops: "50 seconds", status: "errored" },
    does: [cancelled, undone]
  }
}

const database = Layer.provideMerge(
  Layer.merge(SqlSagaExecutionRepository.layer(), SqlParticipantStore.layer()),
  Pglite.layer()
)
type Stores = SagaExecutionRepository.SagaExecutionRepository | ParticipantStore.ParticipantStore

const crashes = Effect.fnUntraced(function* (
  { after, does, printed = Effect.void, said = Effect.succeed("well"), saga, status, stops }: Flow,
  committer: typeof TransactionCommitter.layerNone | typeof TransactionCommitter.layerTwoPhase,
  told: ReadonlyArray<string>
) {
  const runs = yield* SagaTest.crashPoints(saga as typeof Stopped, {
    context: {},
    committer,
    config: { acceptedResend: "40 seconds" },
    ...(stops !== undefined && { signals: [SagaTest.signal(Stop, { after: stops, payload: {} })] }),
    ...(!isMemory && { shared: database as Layer.Layer<Stores> }),
    layer: labOf(after, said, printed) as Layer.Layer<Desk, never, Broker.Broker | Stores>,
    inspect: Desk.use(({ answer, lines }) =>
      Effect.map(Effect.exit(answer("another")), (late) => ({ lines: [...lines], late }))
    )
  })
  const expected = does.map((lines) => [...lines, ...told].sort().join())
  for (const { crash, execution, inspected, story } of runs) {
    const where = [crash, ...story, ...inspected.lines].join("\n")
    assert.deepStrictEqual([execution.status, execution.settled, execution.parked], [status, true, []], where)
    assert.include(expected, inspected.lines.sort().join(), where)
    const late = Exit.isFailure(inspected.late) ? Cause.squash(inspected.late.cause) : undefined
    assert.propertyVal(late, "_tag", "ParticipantAnswerTooLate", where)
  }
  assert.isAbove(runs.length, 10)
})

const silent = Effect.provide(Logger.layer([]))

describe("C19 I27 an orchestrator that stops while it waits for an answer that comes later", () => {
  for (const [name, flow] of Object.entries(flows)) {
    it.live(
      `nothing is lost of a command that ${name}`,
      () => silent(crashes(flow, TransactionCommitter.layerNone, [])),
      300_000
    )
    it.live(
      `nothing is lost of a command that ${name}, with a two-phase commit`,
      () =>
        silent(crashes(flow, TransactionCommitter.layerTwoPhase, [flow.status === "finished" ? "commit" : "reject"])),
      300_000
    )
  }

  it.live(
    "nothing is lost of a command that stands behind a pivot",
    () => silent(crashes(behindPivot, TransactionCommitter.layerNone, [])),
    300_000
  )
})

const points = ["store", "publish", "acknowledge"].flatMap((operation) => [`${operation}.before`, `${operation}.after`])

/** The manager stops when it meets the point for the n-th time, and the person says it again to the next one. */
const cancelledAt = Effect.fnUntraced(function* (point: string, nth: number) {
  const world = yield* makeWorld({ keep: 10, enrols: "two-phase" })
  const desk = yield* Layer.build(
    Layer.provide(
      labOf(undefined, Effect.succeed("well"), Effect.void),
      world.layers as Layer.Layer<Broker.Broker | Stores>
    )
  )
  const { lines } = Context.get(desk, Desk)
  let times = 0
  let isStopped = false
  const one = yield* open(world, {
    sagas: [Visit],
    fault: (name) =>
      Effect.suspend(() => {
        isStopped ||= name === point && ++times === nth
        return isStopped ? Effect.never : Effect.void
      })
  })
  const start = SagaManager.start(Visit, { context: {}, startKey: "visit" })
  const cancel = ({ manager }: Opened) =>
    Effect.gen(function* () {
      const { items } = yield* manager.find({ startKey: "visit" })
      if (items[0] !== undefined) yield* Effect.forkChild(Effect.exit(manager.cancel(items[0].uuid)))
      return items.length
    })
  yield* Effect.forkChild(Effect.exit(one.use(start)))
  yield* quiet
  if (!isStopped) yield* cancel(one)
  yield* quiet
  yield* one.close
  const two = yield* open(world, { sagas: [Visit] })
  // One that was never stored is begun again by its caller.
  if ((yield* two.manager.find({ startKey: "visit" })).items.length === 0) {
    assert.deepStrictEqual([lines, point], [[], "store.before"])
    yield* two.use(start)
  }
  yield* Effect.repeat(Effect.andThen(TestClock.adjust("5 seconds"), quiet), { times: 3 })
  yield* cancel(two)
  yield* Effect.repeat(Effect.andThen(TestClock.adjust("20 seconds"), quiet), { times: 6 })
  const { items } = yield* two.manager.find({ startKey: "visit" })
  assert.deepStrictEqual(
    items.map(({ parked, settled, status }) => [status, settled, parked]),
    [["errored", true, false]],
    `${point} ${nth}`
  )
  // Before its command was sent there was nothing to undo, and its service was told nothing.
  assert.include(["", "accept,cancelled,reject"], [...lines].sort().join(), `${point} ${nth}`)
  return { isStopped, hasBegun: lines.length > 0 }
})

describe("C19 I27 an orchestrator that stops while a person cancels what was accepted", () => {
  for (const point of points)
    it.effect(`undoes it all the same: ${point}`, () =>
      Effect.gen(function* () {
        for (let nth = 1; nth < 30; nth++) {
          const { hasBegun, isStopped } = yield* Effect.scoped(cancelledAt(point, nth))
          if (isStopped) continue
          assert.isTrue(hasBegun)
          assert.isAbove(nth, 1)
          return
        }
        assert.fail(`there is no end of ${point}`)
      }).pipe(silent)
    )
})
