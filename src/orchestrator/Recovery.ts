/**
 * Goes on with the executions of dead instances (SPEC C7), once before any reply is taken and then at every interval. Half-done
 * local steps are treated as their `onCrash` says, and unanswered messages are sent again. A waiting execution belongs to nobody:
 * when it is due, the instance whose claim comes first goes on with it. Where messages are only to be sent again, that takes no
 * runner (`Resends`). A claim also renews the lease, tells which executions others have, and brings the inputs that wait for
 * the executions of this instance.
 */
import { type Clock, Effect, type Scope } from "effect"
import type { ScheduleConfig } from "../execution/rules/RetrySchedule.ts"
import * as DatabaseCode from "../ports/DatabaseCode.ts"
import * as Loop from "../ports/Loop.ts"
import * as Metrics from "../ports/Metrics.ts"
import type { Claimed } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import type { ExecutionSupervisor } from "./ExecutionSupervisor.ts"
import type { PendingInput } from "./Inbox.ts"
import type { NextClaim } from "./NextClaim.ts"
import type { Presence } from "./Presence.ts"
import * as Resends from "./Resends.ts"
import { never } from "./Slot.ts"
import { pendingOf } from "./StoredInput.ts"
import { afterCrash } from "./Takeover.ts"
import type { Unreadable } from "./Unreadable.ts"

/** Executions that are claimed at once, at most. */
const batch = 256

export interface Options {
  readonly membership: Membership
  readonly unreadable: Pick<Unreadable, "claimed" | "corrupt" | "isFull" | "lookAgain" | "settle" | "uuids">
  readonly active: Pick<
    ExecutionSupervisor,
    "claimBegins" | "claimEnds" | "goAlone" | "isBusy" | "isIdle" | "lose" | "offer" | "resume" | "room" | "whenRoom"
  >
  readonly resends: Resends.Resends
  readonly schedule: ScheduleConfig
  readonly presence: Pick<Presence, "attempt" | "since">
  /** The fingerprints of the sagas that this process can continue. */
  readonly fingerprints: ReadonlyArray<string>
  readonly interval: number
  /** The own service. */
  readonly service: string
  readonly next: NextClaim
  readonly clock: Clock.Clock
}

/** Claims once, and then at every interval, and when something is due, while the scope is open. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<void, never, Scope.Scope> {
  const self: Self = { ...options, isFirst: true, batch, lookedAgainAt: Number.NEGATIVE_INFINITY }
  const next = options.next.wait(options.interval)
  if (yield* Loop.aside(round(self), { loop: "recovery" }, true)) {
    yield* Loop.repeat("recovery", Effect.andThen(next, round(self)))
  }
})

interface Self extends Options {
  /** The process has just begun: a former one may have ended before it sent what it had stored. */
  isFirst: boolean
  /**
   * Executions that are claimed at once. Fewer after each claim that has failed: many large executions may take longer to be
   * read than a claim may take, and would never be taken up.
   */
  batch: number
  /** When executions that cannot be read were looked at last, in milliseconds since the epoch. */
  lookedAgainAt: number
}

/** Now and then another process has brought an execution further that this one could not read. */
const lookAgain = (self: Self, now: number) =>
  Effect.suspend(() => {
    const { interval, next, unreadable } = self
    if (unreadable.uuids.length === 0) return Effect.void
    next.at(now + interval)
    if (Math.abs(now - self.lookedAgainAt) < interval) return Effect.void
    self.lookedAgainAt = now
    return unreadable.lookAgain
  })

/** Claims as many executions as there is room for. False: the repository cannot list executions. */
const round = Effect.fnUntraced(
  function* (self: Self) {
    const { active, clock, fingerprints, interval, membership, next, unreadable } = self
    yield* lookAgain(self, clock.currentTimeMillisUnsafe())
    while (true) {
      const begun = clock.monotonicTimeNanosUnsafe()
      const limit = Math.max(0, Math.min(self.batch, active.room()))
      const now = clock.currentTimeMillisUnsafe()
      const gives = yield* unreadable.settle(membership, now)
      const except = unreadable.uuids
      // A claim whose answer was lost may have taken executions all the same (SPEC A1): all that is held is said.
      const claimed = yield* membership.claim({
        limit,
        now,
        dueBy: self.isFirst ? now + interval : now,
        fingerprints,
        holds: active.claimBegins(),
        rests: true,
        ...(except.length > 0 && { except }),
        ...(gives.length > 0 && { gives })
      })
      self.batch = Math.min(batch, self.batch * 2)
      const { executions, lost, nextAt, unreadable: corrupt = [] } = claimed
      next.alone(claimed.isAlone === true && nextAt !== undefined)
      if (nextAt !== undefined) next.at(nextAt)
      unreadable.corrupt(corrupt)
      for (const uuid of lost) active.lose(uuid)
      const resent = yield* goOn(self, claimed, now)
      // Those that are not remembered would be claimed again at once.
      if (executions.length + corrupt.length < limit || unreadable.isFull) break
      if (limit === 0) {
        // There may be more: it is claimed when there is room, and not at the next interval only (F12).
        active.whenRoom(next.now)
        break
      }
      if (resent === 0) continue
      // Of what only waits a former process has left nothing half done: replies are taken before more of it is sent.
      if (self.isFirst && resent === executions.length) {
        next.now()
        break
      }
      if (!self.isFirst && active.isBusy()) yield* Effect.sleep(Resends.restAfter(begun, clock))
    }
    self.isFirst = false
    return true
  },
  (claims, self) =>
    Effect.catchTags(Effect.ensuring(claims, Effect.sync(self.active.claimEnds)), {
      SagaRepositoryUnsupported: () => {
        self.active.goAlone()
        self.next.isOver = true
        return Effect.as(
          Effect.logInfo("The repository cannot list executions: what a crash leaves half done is not taken up again"),
          false
        )
      },
      SagaExecutionRepositoryError: (error) => {
        self.batch = Math.max(1, self.batch >> 1)
        self.next.alone(false)
        return Effect.as(
          Effect.logError("The lease could not be renewed, and no executions were claimed", {
            reason: error.reason,
            ...DatabaseCode.saidBy(error)
          }),
          true
        )
      }
    })
)

/**
 * Runs the executions that were claimed, and gives the inputs that wait for those that run already. Gives the number of those
 * that had only something to send again.
 */
const goOn = Effect.fnUntraced(function* (self: Self, { dueAt, executions, inbox, takenAt }: Claimed, now: number) {
  const { active, isFirst, membership, next, presence, resends, schedule, service, unreadable } = self
  const look = { now, presentSince: presence.since(now), attemptSince: presence.attempt(now), schedule }
  const inputs = new Map<string, Array<PendingInput>>()
  for (const row of inbox) {
    const others = inputs.get(row.uuid)
    if (others === undefined) inputs.set(row.uuid, [pendingOf(row)])
    else others.push(pendingOf(row))
  }
  const waiting: Array<Resends.Resend> = []
  const context = yield* Effect.context<never>()
  for (const execution of executions) {
    const { uuid } = execution
    const given = inputs.get(uuid)
    inputs.delete(uuid)
    // It has become another instance's since the claim was sent.
    if (!membership.isMine(uuid)) continue
    const due = dueAt?.get(uuid)
    if (due !== undefined) Metrics.wakeLag.update(context, Math.max(0, now - due) / 1_000, service)
    // What waited was looked at until it was due. What was left half done sends again everything that is not answered.
    const since = isFirst ? never : (dueAt?.get(uuid) ?? never) - 1
    // An execution that makes no sense stays claimed and is not looked at again here: the others go on.
    yield* Loop.aside(
      Effect.sync(() => {
        const known = unreadable.claimed(execution)
        if (known._tag === "Failure") return
        const taken = takenAt?.get(uuid)
        const isQuiet = given === undefined && active.isIdle(uuid, taken)
        const resend = isQuiet ? Resends.resendOf(known.success, { ...look, since }) : undefined
        if (resend === undefined) active.resume(afterCrash(known.success, now), since, given ?? [], taken)
        else waiting.push(resend)
      }),
      { uuid },
      undefined
    )
  }
  for (const [uuid, given] of inputs) active.offer(uuid, given)
  if (!(yield* resends.send(waiting))) next.now()
  for (const { wakeAt } of waiting) next.at(wakeAt)
  return waiting.length
})
