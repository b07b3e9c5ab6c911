/**
 * What a process knows of its own health: whether its loops go on, and whether its parts can do their work. Each manager and
 * each participant is a part. Health routes read it; nothing is asked of a database for that.
 */
import { Clock, Context, Effect, type Scope } from "effect"

/** How long a loop may die again and again before the process counts as broken, in milliseconds. */
export const maxDying = 60_000

/** How long a loop must have gone on after a defect before it counts as well again, in milliseconds. */
const wellAfter = 10_000

/** A loop of the library. */
export class LoopVital {
  readonly name: string
  /** When it died first without being well since, and when last, in milliseconds since the epoch. */
  private dyingSince: number | undefined
  private diedAt = Number.NEGATIVE_INFINITY
  /** When it has begun a turn last, or work that goes on by itself. */
  beatAt: number

  constructor(name: string, now: number) {
    this.name = name
    this.beatAt = now
  }

  beat(now: number): void {
    if (now - this.diedAt >= wellAfter) this.dyingSince = undefined
    this.beatAt = now
  }

  died(now: number): void {
    if (now - this.diedAt >= wellAfter) this.dyingSince = undefined
    this.dyingSince ??= now
    this.diedAt = now
  }

  /** It dies each time that it begins, for so long that it will not mend by itself. */
  isBroken(now: number): boolean {
    return this.dyingSince !== undefined && now - this.diedAt < wellAfter && now - this.dyingSince >= maxDying
  }
}

/** A manager or a participant. */
export class Part {
  readonly name: string
  readonly checks = new Map<string, () => boolean>()
  isDraining = false

  constructor(name: string) {
    this.name = name
  }

  /** Something that must hold for the part to do its work. */
  check(name: string, isGiven: () => boolean): void {
    this.checks.set(name, isGiven)
  }

  /** The part stops: nothing new is to come to it. */
  readonly drains: Effect.Effect<void> = Effect.sync(() => {
    this.isDraining = true
  })
}

/** The loops and the parts that run in the process now. */
export class VitalSigns {
  readonly loops = new Set<LoopVital>()
  readonly parts = new Set<Part>()

  isLive(now: number): boolean {
    for (const loop of this.loops) if (loop.isBroken(now)) return false
    return true
  }

  /** What is missing for the process to be given work. Empty: nothing. */
  missing(): ReadonlyArray<string> {
    if (this.parts.size === 0) return ["started"]
    return Array.from(this.parts).flatMap(({ checks, isDraining, name }) => [
      ...(isDraining ? [`${name}: not stopping`] : []),
      ...Array.from(checks).flatMap(([check, isGiven]) => (isGiven() ? [] : [`${name}: ${check}`]))
    ])
  }
}

/** Those of this process. Default: one for all programs in it. A test provides one of its own. */
export const Vitals = Context.Reference<VitalSigns>("effect-saga/Vitals", { defaultValue: () => new VitalSigns() })

/** Makes a part known until the scope closes. */
export const join = (name: string): Effect.Effect<Part, never, Scope.Scope> =>
  Effect.flatMap(Vitals, ({ parts }) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const part = new Part(name)
        parts.add(part)
        return part
      }),
      (part) => Effect.sync(() => parts.delete(part))
    )
  )

/** Makes a loop known until the scope closes. */
export const loop = (name: string): Effect.Effect<LoopVital, never, Scope.Scope> =>
  Effect.flatMap(Vitals, ({ loops }) =>
    Effect.acquireRelease(
      Effect.map(Clock.currentTimeMillis, (now) => {
        const vital = new LoopVital(name, now)
        loops.add(vital)
        return vital
      }),
      (vital) => Effect.sync(() => loops.delete(vital))
    )
  )
