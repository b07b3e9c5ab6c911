/** `Saga.rollbackPlan` says before a run which steps are compensated: real runs agree, wherever a saga fails. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Saga } from "../../../src/index.ts"
import { begin, failure, makeStory, runner } from "../../fixtures/travel.ts"

const story = makeStory()

/** Runs, unless it is the one that fails; is compensated. */
const step = (name: string) => ({
  error: Schema.String,
  execute: ({ failing }: { readonly failing: string }) =>
    failing === name ? Effect.fail(`${name} failed`) : story.tell(name),
  compensate: () => story.tell(`${name} back`)
})

const Inner = Saga.make("Inner", { context: { failing: Schema.String } }).pipe(
  Saga.local("n1", step("n1")),
  Saga.local("n2", step("n2")),
  Saga.commit
)

const Everything = Saga.make("Everything", { context: { failing: Schema.String } }).pipe(
  Saga.local("a", step("a")),
  Saga.conditional("c", [
    Saga.ifThen(({ failing }) => failing === "nobody", Saga.local("i", step("i"))),
    Saga.elseThen((branch) =>
      branch.pipe(
        Saga.local("e1", step("e1")),
        Saga.nested("n", { saga: Inner, context: ({ failing }) => ({ failing }) }),
        Saga.local("e2", step("e2"))
      )
    )
  ]),
  Saga.parallel("p", {
    left: (branch) => branch.pipe(Saga.local("l1", step("l1")), Saga.local("l2", step("l2"))),
    right: (branch) => branch.pipe(Saga.local("r1", step("r1")), Saga.local("r2", step("r2")))
  }),
  Saga.local("z", step("z")),
  Saga.local("last", step("last")),
  Saga.commit
)

type Plan = ReturnType<typeof Saga.rollbackPlan>

/** The orders of compensation that a plan allows, as pairs of names; and all names in it. */
const namesOf = (plan: Plan): ReadonlyArray<string> =>
  plan.flatMap((entry) => ("plans" in entry ? entry.plans.flatMap(namesOf) : [entry.step]))

const pairsOf = (plan: Plan): ReadonlyArray<readonly [string, string]> =>
  plan.flatMap((entry, i) => {
    const mine = namesOf([entry])
    const later = namesOf(plan.slice(i + 1))
    const inside = "plans" in entry ? entry.plans.flatMap(pairsOf) : []
    return [...inside, ...mine.flatMap((first) => later.map((second) => [first, second] as const))]
  })

describe("a saga of every kind of step", () => {
  for (const [failing, path] of [
    ["a", "a"],
    ["e1", "e1"],
    ["n1", "1/else/1/n/0"],
    ["n2", "1/else/1/n/1"],
    ["e2", "e2"],
    ["l1", "l1"],
    ["l2", "l2"],
    ["r2", "r2"],
    ["z", "z"],
    ["last", "last"]
  ] as const) {
    it.effect(`that fails at ${failing} compensates the steps that ran, in the order of its rollback plan`, () =>
      Effect.gen(function* () {
        story.lines.length = 0
        const failed = yield* failure(begin(Everything, { context: { failing } }))
        assert.strictEqual(failed.cause, `${failing} failed`)
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
        const ran = story.lines.filter((line) => !line.endsWith(" back"))
        const back = story.lines.filter((line) => line.endsWith(" back")).map((line) => line.slice(0, -5))
        // each step that has run is compensated, once, and no other
        assert.sameMembers([...back], [...ran])
        assert.strictEqual(back.length, ran.length)
        assert.notInclude(back, failing)
        const plan = Saga.rollbackPlan(Everything, path)
        assert.includeMembers([...namesOf(plan)], [...back])
        for (const [first, second] of pairsOf(plan)) {
          if (back.includes(first) && back.includes(second)) {
            assert.isBelow(back.indexOf(first), back.indexOf(second), `${first} is compensated before ${second}`)
          }
        }
      }).pipe(Effect.provide(runner([Everything])))
    )
  }
})
