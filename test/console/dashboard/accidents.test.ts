/**
 * Each of the five accidents, in the browser: seen on the overview, understood on the screen that it leads to, and mended there. Time
 * passes by itself, as a browser needs it to.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule, type Scope } from "effect"
import {
  Broker,
  Inspector,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { type Accident, accidents, locker } from "../../../examples/accidents/accidents.ts"
import { Chromium, hasBrowser, Replicas, serve, story, type Visited } from "./browsing.ts"

const processes = ({ others, sagas }: Accident, isRepaired: boolean) =>
  Layer.merge(SagaManager.layer(sagas), others(isRepaired)).pipe(
    Layer.provide([SagaConfig.layer({ service: "tours" }), TransactionCommitter.layerNone]),
    Layer.fresh
  )

/** What a person reads and does: the line on the overview, the advice, the button, and the word that confirms it. */
interface Seen {
  readonly line: RegExp
  /** How many executions or doubts it is about. */
  readonly count: number
  readonly advice: string
  readonly button: string | RegExp
  readonly confirm: string
  /** Many are acted on together, with a progress. */
  readonly isGroup: boolean
}

const hotelRuns = "First: see that hotel runs and does what it is asked."
const seen: ReadonlyArray<Seen> = [
  {
    line: /Parked\s*3\s*Trip at room/,
    count: 3,
    advice: hotelRuns,
    button: "Retry all 3 …",
    confirm: "Retry all 3",
    isGroup: true
  },
  {
    line: /Parked\s*2\s*Nap at locker/,
    count: 2,
    advice: "Every try has failed. Repair the cause, then retry",
    button: "Retry all 2 …",
    confirm: "Retry all 2",
    isGroup: true
  },
  {
    line: /Parked\s*3\s*Trip at room/,
    count: 3,
    advice: hotelRuns,
    button: "Retry all 3 …",
    confirm: "Retry all 3",
    isGroup: true
  },
  {
    line: /1 unit of work in doubt/,
    count: 1,
    advice: "Their coordinator has not told them the decision.",
    button: /^reject .* at hotel$/,
    confirm: "Reject",
    isGroup: false
  },
  {
    line: /No answer\s*1\s*Count at counted.*hotle\/Count/,
    count: 1,
    advice: "First: see that hotle runs, and that this is its right name.",
    button: "Cancel it …",
    confirm: "Cancel it",
    isGroup: true
  }
]

/** The same some minutes later: a service that is slow is no accident yet. */
const later = (inspector: Inspector.Inspector["Service"]): Inspector.Inspector["Service"] => ({
  ...inspector,
  waiting: Effect.map(inspector.waiting, (groups) =>
    groups.map((group) => ({ ...group, oldest: group.oldest - 600_000 }))
  )
})

/** Waits until the accident has happened to all of them. */
const happened = Effect.fnUntraced(function* (all: number) {
  const { inDoubt, parked, waiting } = yield* Inspector.Inspector
  const found = Effect.map(Effect.all([parked, inDoubt("1 minute"), waiting]), ([places, doubts, waits]) =>
    [...places, ...waits.filter(({ waitsFor }) => waitsFor === "hotle/Count")].reduce(
      (sum, { count }) => sum + count,
      doubts.length
    )
  )
  return yield* Effect.repeat(found, {
    until: (count) => count === all,
    schedule: Schedule.spaced("50 millis"),
    times: 600
  })
})

/** `comesBack`: the program is started again, with its cause repaired. What was asked for meanwhile waits for it. */
const mended = async (
  { page }: Visited,
  { advice, button, confirm, isGroup, line }: Seen,
  comesBack: () => Promise<unknown>
): Promise<void> => {
  await page.getByRole("heading", { name: "Needs a person" }).waitFor()
  await page.getByRole("link", { name: line }).click()
  await page.getByRole("heading", { level: 1, name: "Needs attention" }).waitFor()
  await page.getByText(advice).waitFor()
  await page.getByRole("button", { name: button }).click()
  const dialog = page.getByRole("dialog")
  await dialog.getByLabel("Reason").fill("the cause is repaired")
  await dialog.getByRole("button", { name: confirm, exact: true }).click()
  if (isGroup) {
    await dialog.getByRole("list", { name: "Results" }).waitFor()
    await dialog.getByRole("button", { name: "Close" }).click()
  }
  await comesBack()
  await page.getByText("✓ Nothing needs a person").waitFor({ timeout: 60_000 })
}

const world = (services: ReadonlyArray<string>) =>
  Layer.provideMerge(
    Inspector.layerMemory({ services }),
    Layer.mergeAll(
      SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
      ParticipantStore.layerMemory,
      Broker.layerMemory
    )
  )

describe.skipIf(!hasBrowser)("accidents in a browser", () => {
  for (const [i, accident] of accidents.entries())
    it.live(`${accident.title} is found from the overview, and mended in the dashboard`, () =>
      Effect.gen(function* () {
        const it = seen[i]!
        locker.isStuck = true
        yield* Effect.andThen(accident.begin, happened(it.count)).pipe(Effect.provide(processes(accident, false)))
        const origin = yield* Effect.provideServiceEffect(
          serve({ sagas: accident.sagas }),
          Inspector.Inspector,
          Effect.map(Inspector.Inspector, later)
        )
        locker.isStuck = false
        const comesBack = Effect.runPromiseWith(
          yield* Effect.context<Layer.Services<ReturnType<typeof processes>> | Scope.Scope>()
        )
        const back = () => comesBack(Layer.build(processes(accident, true)))
        yield* Effect.provideService(
          story({}, (visited) => mended(visited, it, back)),
          Replicas,
          { here: `${origin}/`, there: `${origin}/` }
        )
        assert.deepStrictEqual((yield* Inspector.Inspector.use(({ parked }) => parked)).length, 0)
      }).pipe(Effect.scoped, Effect.provide([world(accident.services), Chromium.layer, Logger.layer([])]))
    )
})
