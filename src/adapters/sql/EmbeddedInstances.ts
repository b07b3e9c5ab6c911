/**
 * The instances on a database that only this process has, such as a PGlite. They know each other without asking it: one that is
 * alone claims when something is due, and neither renews its lease nor looks for others, until one comes (F14).
 */
import { Context, Effect, PubSub } from "effect"
import type { Claimed, ClaimRequest } from "../../ports/Leases.ts"
import * as SagaInbox from "../../ports/SagaInbox.ts"

interface Instance {
  readonly owner: string
  readonly leaseMillis: number
  /** Its lease does not end: nobody else was there when it claimed. */
  isAlone: boolean
}

/** The lease of an instance that is alone: a century. Who opens the database next ends it. */
const forEver = 100 * 365 * 86_400_000

/** The notifications that the processes of a server send to each other. */
const announcements = () => Effect.runSync(PubSub.sliding<string>(SagaInbox.maxAnnounced))

export class EmbeddedInstances {
  readonly inputs = announcements()
  readonly changes = announcements()
  private readonly present = new Map<string, Instance>()

  /**
   * A claim of one of the instances. `claim` gets the request with the lease that it is to have; `renew` gives a lease that ends
   * to one that was alone.
   */
  claim<E>(
    request: ClaimRequest,
    claim: (request: ClaimRequest) => Effect.Effect<Claimed, E>,
    renew: (owner: string, leaseMillis: number) => Effect.Effect<unknown, E>
  ): Effect.Effect<Claimed, E> {
    return Effect.gen({ self: this }, function* () {
      const { former, leaseMillis, owner, rests = false } = request
      if (former !== undefined) this.present.delete(former)
      const others = [...this.present.values()].filter((other) => other.owner !== owner)
      const isAlone = rests && others.length === 0
      this.present.set(owner, { owner, leaseMillis, isAlone })
      for (const other of others.filter(({ isAlone }) => isAlone)) {
        yield* renew(other.owner, other.leaseMillis)
        other.isAlone = false
        yield* PubSub.publish(this.inputs, SagaInbox.anotherInstance)
      }
      const claimed = yield* claim(isAlone ? { ...request, leaseMillis: forEver } : request)
      return { ...claimed, isAlone: isAlone && this.present.get(owner)?.isAlone === true }
    })
  }

  leave(owner: string): void {
    this.present.delete(owner)
  }
}

/** The tables of a database by their space, each with its instances. */
export type Instances = (space: string) => EmbeddedInstances

export const make = (): Instances => {
  const spaces = new Map<string, EmbeddedInstances>()
  return (space) => {
    const known = spaces.get(space) ?? new EmbeddedInstances()
    spaces.set(space, known)
    return known
  }
}

/** Absent: other processes may use the database. */
export class Embedded extends Context.Reference<Instances | undefined>("effect-saga/sql/Embedded", {
  defaultValue: () => undefined
}) {}
