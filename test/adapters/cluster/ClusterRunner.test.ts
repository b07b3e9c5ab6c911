/** How long a takeover can last by the intervals of a runner, and how many statements an idle process sends. */
import { assert, it } from "@effect/vitest"
import { Duration } from "effect"
import { ClusterRunner } from "effect-saga/cluster"

const millis = (interval: Duration.Input | undefined): number =>
  interval === undefined ? assert.fail("it has a setting") : Duration.toMillis(Duration.fromInputUnsafe(interval))

const settings = ClusterRunner.settings()
const expiration = millis(settings.shardLockExpiration)
const refresh = millis(settings.shardLockRefreshInterval)
const look = millis(settings.refreshAssignmentsInterval)

it("C20 a runner that nobody pings is gone for the others in time for a takeover within 5 s", () => {
  assert.isAtMost(expiration + look, 4_500)
})

it("C20 a runner that lives says so three times before it counts as gone", () => {
  assert.isAtMost(3 * refresh, expiration)
})

it("C20 the runner of an idle process leaves its lease a part of 4 statements a second", () => {
  // Its locks and its sign of life, and who else is there.
  assert.isAtMost(2_000 / refresh + 1_000 / look, 2.7)
})
