/** One saga over two services in two processes is one connected story of spans, as an exporter sends them (I21). */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import process from "node:process"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedBroker } from "effect-saga/aedes"

interface Span {
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly links: ReadonlyArray<{ readonly spanId: string }>
}

/** Keeps what is sent to it. */
const receiver = Effect.acquireRelease(
  Effect.promise(async () => {
    const bodies: Array<{ readonly path: string; readonly text: string }> = []
    const server = createServer((request, response) => {
      let text = ""
      request.on("data", (chunk) => {
        text += chunk
      })
      request.on("end", () => {
        bodies.push({ path: request.url ?? "", text })
        response.end("{}")
      })
    })
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve))
    return { server, bodies, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }),
  ({ server }) => Effect.sync(() => server.close())
)

const spansIn = (bodies: ReadonlyArray<{ readonly path: string; readonly text: string }>): ReadonlyArray<Span> =>
  bodies
    .filter(({ path }) => path.endsWith("/traces"))
    .flatMap(({ text }) =>
      JSON.parse(text).resourceSpans.flatMap((resource: any) => {
        const service = resource.resource.attributes.find(({ key }: any) => key === "service.name").value.stringValue
        return resource.scopeSpans.flatMap(({ spans }: any) => spans.map((span: object) => ({ ...span, service })))
      })
    )

const service = (role: string, mqtt: string, otlp: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(
        process.execPath,
        ["--conditions=effect-saga:source", new URL("service.ts", import.meta.url).pathname, role, mqtt, otlp],
        { stdio: ["pipe", "pipe", "pipe"] }
      )
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )

const says = (child: ChildProcessWithoutNullStreams, word: string): Promise<void> =>
  new Promise((resolve, reject) => {
    let text = ""
    child.stderr.on("data", (chunk) => {
      text += chunk
    })
    child.stdout.on("data", (chunk) => {
      text += chunk
      if (text.includes(word)) resolve()
    })
    child.once("exit", () => reject(new Error(text)))
  })

const until = (happened: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (happened() ? Effect.void : Effect.andThen(Effect.sleep("50 millis"), until(happened))))

it.live(
  "a saga over two processes is one story of spans, nothing in it is secret, and idle processes send no span",
  () =>
    Effect.gen(function* () {
      const { bodies, url: otlp } = yield* receiver
      const { url: mqtt } = yield* EmbeddedBroker.make()
      const payments = yield* service("payments", mqtt, otlp)
      const orders = yield* service("orders", mqtt, otlp)
      yield* Effect.promise(() => Promise.all([says(payments, "up"), says(orders, "up")]))
      // Both export their metrics while they are idle: so they run, and would export spans.
      yield* until(() => bodies.filter(({ path }) => path.endsWith("/metrics")).length > 20)
      assert.deepStrictEqual(spansIn(bodies), [])
      orders.stdin.write("go\n")
      yield* Effect.promise(() => says(orders, "done"))
      yield* until(() => spansIn(bodies).some(({ name }) => name === "saga PlaceOrder"))
      yield* until(() => spansIn(bodies).some(({ name }) => name === "process payments/Charge"))
      yield* Effect.sleep("1 second")
      const spans = spansIn(bodies)
      const named = (name: string) => {
        const found = spans.find((span) => span.name === name)
        if (found === undefined) throw new Error(`no span ${name}: ${spans.map(({ name }) => name)}`)
        return found
      }
      const inside = (child: string, parent: string) => {
        assert.strictEqual(named(child).parentSpanId, named(parent).spanId, `${child} in ${parent}`)
        assert.strictEqual(named(child).traceId, named(parent).traceId)
      }
      inside("saga.start PlaceOrder", "POST /orders")
      inside("saga.step PlaceOrder/parcel", "saga.start PlaceOrder")
      inside("process payments/Charge", "send payments/Charge")
      const [send, received] = [named("send payments/Charge"), named("process payments/Charge")]
      assert.deepStrictEqual([send.service, send.kind], ["orders", 4])
      assert.deepStrictEqual([received.service, received.kind], ["payments", 5])
      const linked = named("saga.decide PlaceOrder").links.map(({ spanId }) => spanId)
      assert.deepStrictEqual(linked, [named("saga.start PlaceOrder").spanId, send.spanId])
      assert.include(
        named("saga PlaceOrder").links.map(({ spanId }) => spanId),
        named("saga.start PlaceOrder").spanId
      )
      assert.isEmpty(spans.filter(({ name }) => name.startsWith("sql.")))
      const everything = bodies.map(({ text }) => text).join("\n")
      assert.include(everything, "effect_saga_settled")
      assert.notInclude(everything, "PASSPORT-1234567")
    }),
  60_000
)
