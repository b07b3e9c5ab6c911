/** SPEC C20: what passed while nobody was there is told once more, and has the time of one attempt. */
import { assert, describe, it } from "@effect/vitest"
import { PlaceOrder } from "../../definition/order.ts"
import { Journey } from "./journey.ts"
import { begin, type Story } from "./story.ts"

const second = 1_000
const minute = 60 * second
const day = 24 * 60 * minute
const left = (story: Story) => story.state.root.current!.deadline! - story.now

const asked = begin(PlaceOrder, { orderId: "o-1", sku: "book", quantity: 1, amount: 120 })
  .start({ transactional: true })
  .succeeds("0", "r-1")
  .requests("1")
const paid = asked.replies("execute", "1", 200, { paymentId: "p-1" }).succeeds("1", { paymentId: "p-1" })
const voting = paid.chooses("2", null).succeeds("3", "receipt").decided().stored()
const undoing = paid.cancels().compensates("1")
const probing = asked.cancels().probes("1")
const committing = voting.facts({ _tag: "VoteReceived", service: "payments", at: voting.now }).decided().stored()

const cases: ReadonlyArray<readonly [what: string, from: Story, sent: string, over: string]> = [
  ["a request", asked, "resend the execute of payment", "StepFailed payment"],
  ["a question for a vote", voting, "reserve payments", "RollbackStarted"],
  ["an undo", undoing, "resend the failure of payment", "StepParked payment"],
  ["a probe", probing, "resend the probe of payment", "StepParked payment"],
  ["a commit", committing, "commit payments", "ServiceStalled"]
]

describe("F10 C20 after an absence", () => {
  for (const [what, from, sent, over] of cases) {
    it(`F10 C20 ${what} whose time has passed is sent once more, and has the time of one attempt`, () => {
      const back = from.later(day).afterAbsence()
      assert.include(back.next, sent)
      assert.notInclude(back.next, over)
      assert.strictEqual(back.wakesIn, second)
      // Looked at too early, as another branch may bring it about: nothing is sent again, and nothing is over.
      const early = back.later(second - 1)
      assert.notInclude(early.next, sent)
      assert.notInclude(early.next, over)
      assert.include(back.later(second).next, over)
    })

    it(`F10 C20 ${what} is over in its time where somebody was there`, () => {
      assert.include(from.later(day).next, over)
    })

    it(`F10 C20 ${what} has the time of one attempt from when it is looked at, however late that is`, () => {
      const late = from.later(day).afterAbsence().unseen(minute)
      assert.include(late.next, sent)
      assert.notInclude(late.next, over)
      assert.strictEqual(late.wakesIn, second)
    })
  }

  it("F10 C20 a request is sent once more, though no repetition has become due in the absence", () => {
    const due = asked.later(left(asked) - 1)
    assert.deepStrictEqual(due.later(2).next.slice(0, 1), ["StepFailed payment"])
    assert.deepStrictEqual(due.looked().unseen(2).afterAbsence().next, ["resend the execute of payment"])
  })

  it("F10 C20 a request that was sent after the absence ends in its time", () => {
    const back = begin(PlaceOrder, { orderId: "o-1", sku: "book", quantity: 1, amount: 120 }).afterAbsence()
    const fresh = back.start().succeeds("0", "r-1").requests("1")
    assert.deepStrictEqual(fresh.next, [])
    assert.notInclude(fresh.later(left(fresh) - 1).next, "StepFailed payment")
    assert.include(fresh.later(left(fresh)).next, "StepFailed payment")
  })

  it("F10 C20 a deadline that comes soon after the absence waits for one attempt as well", () => {
    const back = asked.later(left(asked) - 1).afterAbsence()
    assert.notInclude(back.later(second - 1).next, "StepFailed payment")
    assert.include(back.later(second).next, "StepFailed payment")
  })

  it("F10 C20 the reply of one branch does not end the other, whose reply may wait as well", () => {
    const both = begin(Journey, { who: "ann" }).start().succeeds("0", "").decided().requests("1/b0/0")
    const waiting = both.succeeds("1/b1/0", "").requests("1/b1/1")
    const back = waiting.later(day).afterAbsence().later(minute).broughtByInput()
    assert.notInclude(back.replies("execute", "1/b0/0", 200, "f-1").next, "StepFailed breakfast")
  })
})
