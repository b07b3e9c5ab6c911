/** The facts that this process stores, as a stream for people and tools. Without a reader it costs nothing. */
import { Effect, PubSub, Stream } from "effect"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"

/** A fact that was stored, and the execution and saga that it belongs to. */
export interface StoredEvent {
  readonly uuid: string
  readonly saga: string
  readonly event: SagaEvent
}

export interface EventFeed {
  /** Publishes the facts of a write. Takes the execution as it was before its write. */
  readonly publish: (written: SagaExecution) => void
  readonly events: Stream.Stream<StoredEvent>
}

/** Facts that are kept for a reader that is slower than the sagas. */
const capacity = 1_024

export const make: Effect.Effect<EventFeed> = Effect.gen(function* () {
  const published = yield* PubSub.sliding<StoredEvent>(capacity)
  let readers = 0
  return {
    publish: (written) => {
      if (readers === 0) return
      for (const event of Execution.unstored(written)) {
        PubSub.publishUnsafe(published, { uuid: written.uuid, saga: written.saga, event })
      }
    },
    events: Stream.unwrap(
      Effect.gen(function* () {
        const subscription = yield* PubSub.subscribe(published)
        readers++
        yield* Effect.addFinalizer(() => Effect.sync(() => readers--))
        return Stream.fromSubscription(subscription)
      })
    )
  }
})
