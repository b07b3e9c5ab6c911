/** What becomes of an execution in this process, as data. */
import { assert, it } from "@effect/vitest"
import { Exit } from "effect"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import * as Slot from "../../src/orchestrator/Slot.ts"

const moment = { now: 1_000, recoveryInterval: 100, isAlone: false } as Slot.Moment

it("C20 after a lost runner, inputs that wait are judged as after a restart: what is not answered is sent again", () => {
  const input = Inbox.pending({ _tag: "Cancel", actor: "anna", reason: "the customer has called" })
  const events: ReadonlyArray<Slot.SlotEvent> = [
    { _tag: "Input", input },
    { _tag: "Lost" },
    { _tag: "Ended", exit: Exit.interrupt() }
  ]
  let slot: Slot.Slot | undefined
  const runs: Array<readonly [since: number, inputs: number]> = []
  for (const event of events) {
    const change = Slot.reduce(slot, event, moment)
    slot = change.slot
    for (const output of change.outputs)
      if (output._tag === "Run") runs.push([output.since, output.inbox.inputs.length])
  }
  assert.deepStrictEqual(runs, [
    [moment.now, 1],
    [Slot.never, 1]
  ])
})
