/**
 * Starts a saga again and again, by a calendar: each tick once, however many processes have the schedule. The last tick is a row
 * of the repository, written together with the execution of the tick.
 */
import { Cause, Cron, DateTime, Effect, Layer, Option, Result } from "effect"
import type { Saga } from "../definition/Saga.ts"
import type { SagaNotRegistered } from "../definition/SagaRegistry.ts"
import * as Loop from "../ports/Loop.ts"
import type { SagaRepositoryUnsupported } from "../ports/SagaExecutionRepository.ts"
import * as Setting from "../ports/Setting.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"
import { isName } from "../wire/Envelope.ts"
import * as Text from "../wire/Text.ts"
import { dueTicks, maxTicks } from "./DueTicks.ts"
import type { InQueue } from "./ManagerOptions.ts"
import { SagaManager } from "./ManagerService.ts"
import * as QueuedStart from "./QueuedStart.ts"
import type { SagaQueueUnknown } from "./QueueErrors.ts"
import type { ScheduleDoor } from "./ScheduleDoor.ts"

export interface SagaScheduleOptions<Context> extends InQueue {
  /**
   * When to start, as five or six fields (`"0 2 * * *"`: at two every night; with six the first is the second), or as a `Cron`
   * of `effect`. `InvalidSetting` where it cannot be read or never comes.
   */
  readonly cron: string | Cron.Cron
  /** The time zone of `cron` where that is text, like `"Europe/Brussels"`. Default `"UTC"`. */
  readonly zone?: string
  /** The initial values of the execution of a tick. It has to be pure: more than one process may call it for a tick. */
  readonly context: (tick: { readonly tick: Date }) => Context
  /**
   * The name under which the last tick is remembered: two schedules of one saga need two. Default: the name of the saga. Under
   * another name the schedule is a new one, and misses nothing.
   */
  readonly name?: string
  /**
   * Ticks that were missed by more than a minute, because no process was there: how many of them are made later, the newest ones,
   * oldest first. From 0 to 1,000, default 1: a nightly run is made after a deployment at night, and once after a week.
   */
  readonly catchUp?: number
  /** The user on whose behalf the executions run. Default: none. */
  readonly user?: string
}

/**
 * Starts the saga at each tick from now on. Every process may have the layer: each tick is started once, by one of them. Times are
 * those of the repository. A clock that is put back for the winter gives a tick in the repeated hour once.
 *
 * Fails with `InvalidSetting` for options that cannot be used, with `SagaNotRegistered` for a saga that the manager does not have,
 * with `SagaQueueUnknown` for a queue that it does not have, and with `SagaRepositoryUnsupported` for a repository that keeps no schedules (`KeyValueRepository`).
 *
 * @example
 * ```ts
 * const Nightly = SagaSchedule.layer(NightlyBatch, {
 *   cron: "0 2 * * *",
 *   zone: "Europe/Brussels",
 *   context: ({ tick }) => ({ day: tick })
 * })
 * const main = Nightly.pipe(Layer.provideMerge(SagaManager.layer([NightlyBatch])))
 * ```
 */
export const layer = <Context, Own, E, R>(
  saga: Saga<string, Context, Own, E, R, "committed">,
  options: SagaScheduleOptions<NoInfer<Context>>
): Layer.Layer<
  never,
  Setting.InvalidSetting | SagaNotRegistered | SagaQueueUnknown | SagaRepositoryUnsupported,
  SagaManager
> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { schedules: door } = yield* SagaManager
      yield* Setting.known("SagaSchedule", options, names)
      const { catchUp: most = 1, name: schedule = saga.name, zone = "UTC" } = options
      const cron = yield* readCron(options.cron, zone)
      const bounds = { least: 0, most: maxTicks }
      const catchUp = yield* Setting.wholeNumber("SagaSchedule.catchUp", most, bounds)
      if (typeof options.context !== "function") return yield* unusable("context", "it must be a function of the tick")
      const userIssue = options.user === undefined ? undefined : Text.issueOf(options.user, Text.maxBytes.user)
      if (userIssue !== undefined) return yield* unusable("user", `it ${userIssue}`)
      if (!isName(schedule)) return yield* unusable("name", "it must be a name of letters, digits, _, . and -")
      const queueIssue = QueuedStart.issueOf(options)
      if (queueIssue !== undefined) return yield* unusable(queueIssue.field, `it ${queueIssue.issue}`)
      yield* door.check(saga, options.queue)
      const start = (at: number) =>
        Effect.suspend(() => {
          const { key, priority, queue, user } = options
          const context = options.context({ tick: new Date(at) })
          const how = { queue, key, priority, ...(user !== undefined && { user }) }
          return door.start(saga, { context, ...how }, { schedule, at })
        })
      yield* Loop.repeat("schedule", turns({ door, cron, catchUp, schedule, start }))
    })
  )

const names: Setting.Names<SagaScheduleOptions<unknown>> = {
  cron: true,
  zone: true,
  context: true,
  name: true,
  catchUp: true,
  user: true,
  queue: true,
  key: true,
  priority: true
}

// ---- the loop --------------------------------------------------------------------------------------------------

interface Schedule {
  readonly door: ScheduleDoor
  readonly cron: Cron.Cron
  readonly catchUp: number
  readonly schedule: string
  readonly start: (at: number) => ReturnType<ScheduleDoor["start"]>
}

/** Makes what is due, and sleeps until the next tick. Where the store is away, it looks again after an interval. */
const turns = (self: Schedule): Effect.Effect<void> => {
  let isAway = false
  return Effect.matchEffect(turn(self), {
    onSuccess: (next) => {
      isAway = false
      return SteadyClock.sleepUntil(self.door.clock, next, self.door.interval)
    },
    onFailure: (error) => {
      const isNews = !isAway
      isAway = true
      const said = Effect.logWarning("A schedule waits for the repository", { schedule: self.schedule }, error)
      return Effect.andThen(isNews ? said : Effect.void, Effect.sleep(self.door.interval))
    }
  })
}

/** A last tick that is more than this ahead was written by a clock that was wrong. The clocks of processes differ by less. */
const farAhead = 3_600_000

/**
 * A last tick that is far ahead would silence the schedule until then: it is put back to now, so the ticks from now on are made. Some may
 * be made twice then: the wrong clock has made them too early.
 */
const lastTick = Effect.fnUntraced(function* ({ door, schedule }: Schedule, now: number) {
  const last = yield* door.last(schedule, now)
  const beyond = now + farAhead
  if (last <= beyond || !(yield* door.putBack({ schedule, at: now }, beyond))) return last
  const at = last < 8.64e15 ? new Date(last).toISOString() : String(last)
  yield* Effect.logError("The last tick of a schedule was in the future, and is put back to now", {
    schedule,
    last: at
  })
  return now
})

/** Gives the time of the next tick. */
const turn = Effect.fnUntraced(function* (self: Schedule) {
  const { catchUp, cron, door, schedule } = self
  const now = door.clock.currentTimeMillisUnsafe()
  const last = yield* lastTick(self, now)
  const { due, leftOut } = dueTicks(cron, last, now, catchUp)
  if (leftOut !== undefined && (yield* door.pass({ schedule, at: leftOut }))) {
    const until = new Date(leftOut).toISOString()
    yield* Effect.logWarning("Ticks of a schedule were missed and are left out", { schedule, until })
  }
  for (const at of due) yield* tick(self, at)
  return Cron.next(cron, new Date(now)).getTime()
})

/** A tick whose execution cannot be made is passed: it would stop all later ones. */
const tick = (self: Schedule, at: number) =>
  Effect.catchCause(self.start(at), (cause) => {
    const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
    const isOfTheStore = failure?._tag === "SagaExecutionRepositoryError" && failure.reason === "unavailable"
    if (Cause.hasInterrupts(cause) || isOfTheStore) return Effect.failCause(cause)
    const { schedule } = self
    const said = Effect.logError(
      "A tick of a schedule gave no execution",
      { schedule, at: new Date(at).toISOString() },
      cause
    )
    return Effect.andThen(said, self.door.pass({ schedule, at }))
  })

// ---- options ---------------------------------------------------------------------------------------------------

const unusable = (option: string, issue: string) =>
  Effect.fail(new Setting.InvalidSetting({ setting: `SagaSchedule.${option}`, issue }))

const readCron = (cron: unknown, zone: string): Effect.Effect<Cron.Cron, Setting.InvalidSetting> => {
  if (typeof zone !== "string" || Option.isNone(DateTime.zoneFromString(zone))) {
    return unusable("zone", "it must be the name of a time zone, like Europe/Brussels")
  }
  if (typeof cron !== "string" && !Cron.isCron(cron)) return unusable("cron", "it must be a text, or a Cron")
  const parsed = Cron.isCron(cron) ? Result.succeed(cron) : Cron.parse(cron, zone)
  if (Result.isFailure(parsed)) return unusable("cron", `it must be a cron expression: ${parsed.failure.message}`)
  // `next` throws where no day fits, such as the 31st of February.
  return Effect.catchDefect(
    Effect.as(
      Effect.sync(() => Cron.next(parsed.success)),
      parsed.success
    ),
    () => unusable("cron", "it must have a tick, and no day fits")
  )
}
