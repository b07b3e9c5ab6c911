/**
 * One connection is one client of nats.js, which never reconnects by itself: what was in flight is known to be lost with it, and
 * nothing is kept in memory without a bound.
 */
import { connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node"
import { Deferred, type Duration, Effect, Exit, Redacted, Schema, type Scope } from "effect"
import type { NatsConfig } from "./NatsConfig.ts"

/** There is no connection, or it does not serve, and `reason` says why. It contains no secret. */
export class NatsConnectionLost extends Schema.TaggedError<NatsConnectionLost>()("NatsConnectionLost", {
  reason: Schema.String
}) {}

/** An error of nats.js as a lost connection. */
export const lostBy = (error: unknown, about?: string): NatsConnectionLost => {
  const reason = error instanceof Error && error.message !== "" ? error.message : String(error)
  return new NatsConnectionLost({ reason: about === undefined ? reason : `${about}: ${reason}` })
}

export interface Connection {
  readonly client: NatsConnection
  /** Where answers of the server come to: what this service may subscribe to. */
  readonly inboxPrefix: string
  /** The largest message that the server takes, in bytes. */
  readonly largest: number
  /** Fails when the connection is lost. */
  readonly lost: Effect.Effect<never, NatsConnectionLost>
}

export const connectTimeout = 10_000

const inboxPrefixOf = ({ username }: NatsConfig): string => (username === undefined ? "_INBOX" : `_INBOX.${username}`)

const clientOptions = (settings: NatsConfig) => {
  const { credentials, password, tls, token, username } = settings
  const { ca, certificate, key } = tls
  return {
    servers: [...settings.servers],
    reconnect: false,
    timeout: connectTimeout,
    pingInterval: settings.keepalive,
    maxPingOut: 1,
    noAsyncTraces: true,
    inboxPrefix: inboxPrefixOf(settings),
    ...(username !== undefined && { user: username }),
    ...(password !== undefined && { pass: Redacted.value(password) }),
    ...(token !== undefined && { token: Redacted.value(token) }),
    ...(credentials !== undefined && {
      authenticator: credsAuthenticator(new TextEncoder().encode(Redacted.value(credentials)))
    }),
    ...(settings.isSecure && {
      tls: {
        ...(ca !== undefined && { ca }),
        ...(certificate !== undefined && { cert: certificate }),
        ...(key !== undefined && { key: Redacted.value(key) })
      }
    })
  }
}

/** How long the server has to see the end of a connection. */
const closeTimeout: Duration.Input = "500 millis"

/** Flushes before it closes: messages that were sent reach the server, unless it stands still for longer than the timeout. */
const close = (client: NatsConnection): Effect.Effect<void> =>
  Effect.tryPromise(() => client.flush()).pipe(
    Effect.timeoutOption(closeTimeout),
    Effect.ignore,
    Effect.andThen(Effect.promise(() => client.close())),
    Effect.timeoutOption("1 second"),
    Effect.asVoid
  )

const connected = (settings: NatsConfig): Effect.Effect<NatsConnection, NatsConnectionLost> =>
  Effect.callback((resume) => {
    let isWanted = true
    connect(clientOptions(settings)).then(
      (client) => (isWanted ? resume(Effect.succeed(client)) : void client.close()),
      (error) => resume(Effect.fail(lostBy(error)))
    )
    return Effect.sync(() => {
      isWanted = false
    })
  })

/** Opens a connection until the scope closes. */
export const open = Effect.fnUntraced(function* (
  settings: NatsConfig
): Effect.fn.Return<Connection, NatsConnectionLost, Scope.Scope> {
  const client = yield* Effect.acquireRelease(connected(settings), close, { interruptible: true })
  const lost = yield* Deferred.make<never, NatsConnectionLost>()
  client
    .closed()
    .then((error) =>
      Deferred.doneUnsafe(lost, Exit.fail(lostBy(error ?? "the connection was closed or the server is silent")))
    )
  return {
    client,
    inboxPrefix: inboxPrefixOf(settings),
    largest: client.info?.max_payload ?? Number.POSITIVE_INFINITY,
    lost: Deferred.await(lost)
  }
})
