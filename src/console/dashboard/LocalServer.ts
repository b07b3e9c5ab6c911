/**
 * HTTP on the own machine, for a dashboard beside no application. It needs nothing installed: `node:http` is there on Node, Bun
 * and Deno. An application brings the server of its own runtime.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Readable } from "node:stream"
import { type Context, Effect, type Layer, Schema, type Scope } from "effect"
import { HttpRouter } from "effect/http"
import { line } from "../../wire/OneLine.ts"

/** The port is taken, or may not be listened at. */
export class DashboardNotServed extends Schema.TaggedError<DashboardNotServed>()("DashboardNotServed", {
  port: Schema.Int,
  reason: Schema.String
}) {
  override get message(): string {
    return line`The dashboard cannot listen at port ${this.port}: ${this.reason}`
  }
}

type Handler = (request: Request) => Promise<Response>

/** Bytes of a request. */
const maxBody = 1_000_000

/** Listens at 127.0.0.1 while the scope is open. Gives the port. `port` 0: any that is free. */
export const listen = (
  routes: (port: number) => Layer.Layer<never, never, HttpRouter.HttpRouter>,
  port: number
): Effect.Effect<number, DashboardNotServed, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) => listenWith(routes, port, context))

/** `context`: of the caller, with its loggers and its tracer. */
const listenWith = (
  routes: (port: number) => Layer.Layer<never, never, HttpRouter.HttpRouter>,
  port: number,
  context: Context.Context<never>
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly port: number; readonly close: Effect.Effect<void> }, DashboardNotServed>((resume) => {
        let web: ReturnType<typeof HttpRouter.toWebHandler> | undefined
        const server = createServer((incoming, outgoing) => {
          const { handler } = web!
          // Cast: the handler needs no service of it.
          void answer((request) => handler(request, context as any), incoming, outgoing)
        })
        server.once("error", (error: NodeJS.ErrnoException) =>
          resume(Effect.fail(new DashboardNotServed({ port, reason: error.code ?? error.message })))
        )
        server.listen(port, "127.0.0.1", () => {
          const { port: bound } = server.address() as AddressInfo
          web = HttpRouter.toWebHandler(routes(bound), { disableLogger: true })
          const { dispose } = web
          const close = Effect.promise(() => {
            server.closeAllConnections()
            return Promise.all([dispose(), new Promise((closed) => server.close(closed))])
          })
          resume(Effect.succeed({ port: bound, close: Effect.asVoid(close) }))
        })
      }),
      ({ close }) => close
    ),
    ({ port }) => port
  )

/** Promises: both sides of this bridge, `node:http` and the web handler, are made of them. */
const answer = async (handler: Handler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
  const gone = new AbortController()
  outgoing.once("close", () => gone.abort())
  // Exceptions: a client may leave at any time, and nobody is there to be told.
  try {
    const response = await handler(await requestOf(incoming, gone.signal))
    outgoing.writeHead(response.status, headersOf(response))
    if (response.body === null) return void outgoing.end()
    // Cast: the stream of the browser and that of Node have types of their own.
    const body = Readable.fromWeb(response.body as any)
    body.on("error", () => outgoing.destroy()).pipe(outgoing)
  } catch {
    if (!outgoing.headersSent) outgoing.writeHead(400)
    outgoing.end()
  }
}

/** Several cookies are several headers. */
const headersOf = ({ headers }: Response): Record<string, string | Array<string>> => ({
  ...Object.fromEntries(headers),
  ...(headers.getSetCookie().length > 0 && { "set-cookie": headers.getSetCookie() })
})

/** Promises: the body comes in pieces. */
const requestOf = async (incoming: IncomingMessage, signal: AbortSignal): Promise<Request> => {
  const { headers, method = "GET", url = "/" } = incoming
  const pieces: Array<Buffer> = []
  let size = 0
  for await (const piece of incoming) {
    size += piece.length
    if (size > maxBody) throw new Error("too large")
    pieces.push(piece)
  }
  const given = Object.entries(headers).flatMap(
    ([name, value]): ReadonlyArray<[string, string]> =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]]
  )
  const hasBody = method !== "GET" && method !== "HEAD"
  return new Request(new URL(url, `http://${headers.host ?? "127.0.0.1"}`), {
    method,
    headers: given,
    signal,
    ...(hasBody && { body: Buffer.concat(pieces) })
  })
}
