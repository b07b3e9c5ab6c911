/**
 * Listens to a channel, on a connection of its own. Nothing is sent over this connection, so its silence tells nothing: it is
 * replaced after some minutes, and at once where another connection of the process has turned out to be silent. Notifications
 * that are missed meanwhile only delay: waiting callers also look by themselves.
 */
import type { PgClient } from "@effect/sql-pg"
import { Deferred, type Duration, Effect, Exit, PubSub, type Queue, Schedule, Scope, Stream } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import * as Loop from "../../ports/Loop.ts"
import { codeOf } from "./SqlErrors.ts"
import * as SqlSession from "./SqlSession.ts"

/** How long a connection listens that nobody has heard of. */
const renewEvery: Duration.Input = "5 minutes"

/** Notifications that wait for a slow reader; the oldest are dropped. */
const most = 10_000

const again = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])

type Notifications = Queue.Dequeue<{ readonly payload: string }, SqlError>

interface Listening {
  readonly queue: Notifications
  readonly close: Effect.Effect<void>
}

/** Hands what it has opened to `keep`, even when it is interrupted. */
const listen = (
  client: PgClient.PgClient,
  channel: string,
  millis: number,
  keep: (opened: Listening) => void
): Effect.Effect<Listening, SqlError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      // In parallel: the client says `UNLISTEN` at the end, and gives the connection up beside it instead of after it.
      const scope = Scope.makeUnsafe("parallel")
      const close = Scope.close(scope, Exit.void)
      return restore(
        Effect.timeoutOrElse(Scope.provide(client.listen(channel), scope), {
          duration: millis,
          orElse: () => Effect.fail(SqlSession.lost("NoConnection"))
        })
      ).pipe(
        Effect.onError(() => close),
        Effect.map((queue) => {
          const opened = { queue, close }
          keep(opened)
          return opened
        })
      )
    })
  )

export interface SqlListener {
  /** Asks for another connection. */
  readonly renew: () => void
  /** Listens from now on, while the scope is open. */
  readonly run: (
    client: PgClient.PgClient,
    channel: string,
    millis: number
  ) => Effect.Effect<Stream.Stream<string>, SqlError, Scope.Scope>
}

export const make = (): SqlListener => {
  let suspected = Deferred.makeUnsafe<void>()
  return {
    renew: () => {
      Deferred.doneUnsafe(suspected, Effect.void)
    },
    run: Effect.fnUntraced(function* (client, channel, millis) {
      const news = yield* PubSub.sliding<string>(most)
      let listening: Listening | undefined
      const open = listen(client, channel, millis, (opened) => {
        listening = opened
      })
      yield* Effect.addFinalizer(() => Effect.suspend(() => listening?.close ?? Effect.void))
      yield* open
      const turn = Effect.gen(function* () {
        suspected = Deferred.makeUnsafe()
        const { close, queue } = listening ?? (yield* Effect.retry(open, again))
        yield* Stream.fromQueue(queue).pipe(
          Stream.runForEach(({ payload }) => PubSub.publish(news, payload)),
          Effect.catch((error) => Effect.logWarning("The listener has lost its connection", { reason: codeOf(error) })),
          Effect.raceFirst(Effect.sleep(renewEvery)),
          Effect.raceFirst(Deferred.await(suspected))
        )
        yield* close
        listening = undefined
      })
      yield* Loop.repeat("notifications", Effect.orDie(turn))
      return Stream.fromPubSub(news)
    })
  }
}
