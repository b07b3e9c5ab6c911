/**
 * An MQTT 3.1.1 broker in the process, for demos and tests: `MqttBroker.layer({ url, protocol: 4 })` connects to it, from
 * this process or another one. Its messages are in memory and end with it.
 */
import { Buffer } from "node:buffer"
import { createServer, type Server, type Socket } from "node:net"
import { Aedes } from "aedes"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import type { InvalidSetting } from "../../ports/Setting.ts"
import * as Setting from "../../ports/Setting.ts"
import { json, line } from "../../wire/OneLine.ts"

/** The broker cannot listen on the address: another program has the port, for example. */
export class EmbeddedBrokerUnavailable extends Schema.TaggedError<EmbeddedBrokerUnavailable>()(
  "EmbeddedBrokerUnavailable",
  { host: Schema.String, port: Schema.Number, cause: Schema.optionalKey(Schema.Defect()) }
) {
  override get message(): string {
    return line`No MQTT broker can listen on ${this.host}:${this.port}`
  }

  override toJSON(): unknown {
    return json(this)
  }
}

export interface EmbeddedBrokerOptions {
  /** The address to listen on. Default 127.0.0.1: the broker asks for no password, so keep it on this machine. */
  readonly host?: string
  /** The port, 0 to 65,535. Default 0: a free one, which the service gives. */
  readonly port?: number
}

export class EmbeddedBroker extends Context.Service<
  EmbeddedBroker,
  {
    /** For `MqttBroker.layer({ url, protocol: 4 })`. */
    readonly url: string
    readonly port: number
  }
>()("effect-saga/EmbeddedBroker") {}

const start = Effect.tryPromise({
  try: () =>
    Aedes.createBroker({
      authorizeForward: (_, packet) => {
        // Aedes does not mark a message from its store as a possible duplicate.
        if ("writeCallback" in packet) packet.dup = true
        return packet
      }
    }),
  catch: (cause) => cause
})

/** On Deno a stream reports new data only if it was read until it was empty, so each read takes all there is. */
const readingAll = (socket: Socket): Socket => {
  const read = socket.read.bind(socket)
  socket.read = (size) => {
    const chunks: Array<Buffer> = []
    for (let chunk = read(size); chunk?.length > 0; chunk = read(size)) chunks.push(chunk)
    return chunks.length === 0 ? null : Buffer.concat(chunks)
  }
  return socket
}

const listen = (server: Server, host: string, port: number): Effect.Effect<number, EmbeddedBrokerUnavailable> =>
  Effect.callback((resume) => {
    server.once("error", (cause) => resume(Effect.fail(new EmbeddedBrokerUnavailable({ host, port, cause }))))
    server.listen(port, host, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** Starts a broker that listens until the scope closes. */
export const make = Effect.fnUntraced(function* (
  options: EmbeddedBrokerOptions = {}
): Effect.fn.Return<EmbeddedBroker["Service"], EmbeddedBrokerUnavailable | InvalidSetting, Scope.Scope> {
  const named = { host: true, port: true }
  const { host = "127.0.0.1", port = 0 } = yield* Setting.known("EmbeddedBroker", options, named)
  yield* Setting.text("EmbeddedBroker.host", host)
  yield* Setting.wholeNumber("EmbeddedBroker.port", port, { least: 0, most: 65_535 })
  const broker = yield* Effect.acquireRelease(Effect.orDie(start), (broker) =>
    Effect.callback<void>((resume) => broker.close(() => resume(Effect.void)))
  )
  const sockets = new Set<Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      createServer({ noDelay: true }, (socket) => {
        sockets.add(socket)
        socket.once("close", () => sockets.delete(socket))
        broker.handle(readingAll(socket))
      })
    ),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
  const taken = yield* listen(server, host, port)
  return { url: `mqtt://${host.includes(":") ? `[${host}]` : host}:${taken}`, port: taken }
})

/**
 * A broker for the layers to which it is provided.
 *
 * @example
 * ```ts
 * const BrokerLive = Layer.unwrap(
 *   Effect.map(EmbeddedBroker.EmbeddedBroker, ({ url }) => MqttBroker.layer({ url, protocol: 4 }))
 * ).pipe(Layer.provide(EmbeddedBroker.layer()))
 * ```
 */
export const layer = (
  options: EmbeddedBrokerOptions = {}
): Layer.Layer<EmbeddedBroker, EmbeddedBrokerUnavailable | InvalidSetting> =>
  Layer.effect(EmbeddedBroker, make(options))
