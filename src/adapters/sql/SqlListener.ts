/**
 * Listens to a channel, on a connection of its own. Nothing is sent over this connection, so its silence tells nothing: it is
 * replaced after some minutes, and at once where another connection of the process has turned out to be silent. Notifications
 * that are missed meanwhile only delay: waiting callers also look by themselves.
 */
import type { PgClient } from "@effect/sql-pg"
import { Deferred, type Duration, Effect, Exit, PubSub, type Queue, Schedule, Scope, Stream } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { inWords } from "../../ports/DatabaseCode.ts"
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

/**
 * Listens on a connection of the pool, and hands what it has opened to `keep`. The connection may be silent, so nobody waits for
 * the end of a `LISTEN` that was given up. It is interrupted: one that came through late would be kept in place of a newer one,
 * and one that waits for the pool would stay in its line.
 */
const listen = (
  client: PgClient.PgClient,
  channel: string,
  millis: number,
  keep: (opened: Listening) => void
): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    // In parallel: the client says `UNLISTEN` at the end, and gives the connection up beside it instead of after it.
    const scope = Scope.makeUnsafe("parallel")
    const close = Scope.close(scope, Exit.void)
    const opening = Effect.callback<void, SqlError>((resume) => {
      const opened = Effect.map(Scope.provide(client.listen(channel), scope), (queue) => keep({ queue, close }))
      const fiber = Effect.runFork(Effect.onError(opened, () => close))
      fiber.addObserver(resume)
      return Effect.sync(() => {
        fiber.interruptUnsafe()
        Effect.runFork(close)
      })
    })
    return Effect.timeoutOrElse(opening, {
      duration: millis,
      orElse: () => Effect.fail(SqlSession.lost("NoConnection"))
    })
  })

export interface SqlListener {
  /** Asks for another connection. */
  readonly renew: () => void
  /** Listens from now on, while the scope is open. `millis`: how long it may take to begin, and to begin again. */
  readonly run: (
    client: PgClient.PgClient,
    channel: string,
    millis: { readonly first: number; readonly again: number }
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
      const open = (millis: number) =>
        listen(client, channel, millis, (opened) => {
          listening = opened
        })
      yield* Effect.addFinalizer(() => Effect.suspend(() => listening?.close ?? Effect.void))
      yield* open(millis.first)
      const turn = Effect.gen(function* () {
        suspected = Deferred.makeUnsafe()
        if (listening === undefined) yield* Effect.retry(open(millis.again), again)
        const { close, queue } = listening!
        yield* Stream.fromQueue(queue).pipe(
          Stream.runForEach(({ payload }) => PubSub.publish(news, payload)),
          Effect.catch((error) =>
            Effect.logWarning("The listener has lost its connection", { reason: inWords(codeOf(error)) })
          ),
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
