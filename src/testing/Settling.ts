/**
 * Waits until nothing more happens without time passing. A database answers in real time, while virtual time stands still: time that
 * passed meanwhile would be over before the answer.
 */
import { Context, Effect } from "effect"
import * as ParticipantStore from "../ports/ParticipantStore.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"

/** Turns of the event loop after which nothing more comes from outside. */
const quietTurns = 20

/** Turns that an answer may take. A unit of work may wait for virtual time itself. */
const mostTurns = 2_000

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

export class Settling {
  private underWay = 0

  private readonly counted = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => this.underWay++),
      () => work,
      () => Effect.sync(() => this.underWay--)
    )

  /** Lets everything that is under way go on, until `isOver`. */
  readonly settle = (isOver: () => boolean): Effect.Effect<void> =>
    Effect.gen({ self: this }, function* () {
      for (let quiet = 0, all = 0; quiet < quietTurns && !isOver(); quiet++) {
        yield* turn
        if (this.underWay > 0 && ++all < mostTurns) quiet = -1
      }
    })

  /** The same services, with stores whose answers are waited for. */
  watch<I>(services: Context.Context<I>): Context.Context<I> {
    const all = services as Context.Context<any>
    const watched = new Map(all.mapUnsafe)
    const { counted } = this
    const repository = Context.getOption(all, Repository.SagaExecutionRepository)
    if (repository._tag === "Some") {
      const { value } = repository
      watched.set(Repository.SagaExecutionRepository.key, {
        ...value,
        store: (execution, hint) => counted(value.store(execution, hint)),
        load: (uuid) => counted(value.load(uuid)),
        submit: (row) => counted(value.submit(row)),
        inbox: (uuid) => counted(value.inbox(uuid)),
        claim: (request) => counted(value.claim(request)),
        take: (request) => counted(value.take(request)),
        giveBack: (request) => counted(value.giveBack(request)),
        ended: (uuids, orPaused) => counted(value.ended(uuids, orPaused)),
        atomically: (work) => counted(value.atomically(work))
      } satisfies Repository.SagaExecutionRepository["Service"])
    }
    const store = Context.getOption(all, ParticipantStore.ParticipantStore)
    if (store._tag === "Some") {
      const { value } = store
      watched.set(ParticipantStore.ParticipantStore.key, {
        ...value,
        unit: (scope, work) => counted(value.unit(scope, work))
      } satisfies ParticipantStore.ParticipantStore["Service"])
    }
    return Context.makeUnsafe(watched)
  }
}
