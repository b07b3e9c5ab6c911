/**
 * The contract of `Broker` as tests: call `suite` in a test file with the layer to be tested. The tests expect no order of
 * messages, and each uses a service name of its own, so a broker may be shared. Needs `@effect/vitest`.
 */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect, Fiber, type Layer, Queue, Stream } from "effect"
import * as Broker from "../ports/Broker.ts"
import * as Suite from "./Suite.ts"

export interface Options extends Suite.Options {
  /**
   * Waits until the transport has registered every subscription and delivered all that was published. Default: other
   * fibers run for a few turns, which is enough for a transport within the process.
   */
  readonly settle?: Effect.Effect<void>
  /**
   * Gives a service that no other test uses, where a transport has to know its services before. The senders are named `sender` and
   * `orders`. Default: a new name.
   */
  readonly serviceName?: () => string
  /** Whether the transport must give a subscriber an address of its own (`Group.onOwnAddress`). Default: it may have none. */
  readonly ownAddresses?: boolean
}

/** `core`: one subscriber; `concurrent`: several; `recovery`: a subscription ends and another begins. */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<Broker.Broker, E>,
  { ownAddresses = false, serviceName = newName, settle = othersRun, ...options }: Options = {}
): void =>
  Suite.register(
    `Broker: ${name}`,
    layer,
    {
      core: core(settle, serviceName),
      concurrent: (test) => {
        concurrent(settle, serviceName)(test)
        asking(settle, serviceName, ownAddresses)(test)
      },
      recovery: (test) => {
        recovery(settle, serviceName)(test)
        askedAgain(settle, serviceName)(test)
      }
    },
    options
  )

type Test = Suite.Test<Broker.Broker>

const othersRun = Effect.repeat(Effect.yieldNow, { times: 20 })

const newName = (): string => `service-${randomUUID()}`

const message = (to: string, body: string, address: Partial<Broker.Address> = {}): Broker.Message => ({
  address: { to, kind: "reply", from: "sender", ...address },
  body
})

const publish = Effect.fnUntraced(function* (...messages: ReadonlyArray<Broker.Message>) {
  const broker = yield* Broker.Broker
  yield* Effect.forEach(messages, broker.publish, { discard: true })
})

const bodies = (deliveries: Iterable<Broker.Message>): ReadonlySet<string> =>
  new Set(Array.from(deliveries, ({ body }) => body))

const numbered = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `${i}`)

/** A subscriber that takes what it is given and acknowledges nothing by itself. */
const subscriber = Effect.fnUntraced(function* (settle: Effect.Effect<void>, group: Broker.Group) {
  const broker = yield* Broker.Broker
  const arrived = yield* Queue.unbounded<Broker.Delivery>()
  const fiber = yield* broker.subscribe(group).pipe(
    Stream.runForEach((delivery) => Queue.offer(arrived, delivery)),
    Effect.forkScoped
  )
  yield* settle
  return {
    next: Queue.take(arrived),
    take: (count: number) => Effect.forEach(Array.from({ length: count }), () => Queue.take(arrived)),
    /** The messages that arrived and were not taken, after all have arrived. */
    rest: Effect.andThen(settle, Queue.clear(arrived)),
    end: Effect.andThen(Fiber.interrupt(fiber), settle)
  }
})

const acknowledgeAll = (deliveries: ReadonlyArray<Broker.Delivery>) =>
  Effect.forEach(deliveries, (delivery) => delivery.acknowledge, { discard: true })

const core =
  (settle: Effect.Effect<void>, serviceName: () => string) =>
  (test: Test): void => {
    test("delivers a message with its exact text and its address", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const { next } = yield* subscriber(settle, { service, kinds: ["command", "reply"] })
        const texts = ["{}", ' {"b":1, "a":"ü\u2028\ud83d\udc18"}\n', "no JSON at all", `"${"x".repeat(100_000)}"`]
        for (const body of texts) {
          yield* publish(message(service, body, { kind: "command", from: "orders", name: "Charge" }))
          const delivery = yield* next
          assert.strictEqual(delivery.body, body)
          assert.deepStrictEqual(delivery.address, { to: service, kind: "command", from: "orders", name: "Charge" })
          assert.isFalse(delivery.redelivered)
          yield* delivery.acknowledge
        }
        yield* publish(message(service, "7"))
        assert.deepStrictEqual((yield* next).address, { to: service, kind: "reply", from: "sender" })
      }))

    test("delivers a message only to the service it is addressed to, and only the kinds that service subscribes to", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const other = serviceName()
        const orchestrator = yield* subscriber(settle, { service, kinds: ["reply", "status"] })
        const participant = yield* subscriber(settle, { service, kinds: ["command", "tx"] })
        yield* publish(
          message(service, "reply"),
          message(service, "command", { kind: "command", name: "Charge" }),
          message(other, "elsewhere"),
          message(service, "status", { kind: "status" }),
          message(service, "tx", { kind: "tx" })
        )
        assert.deepStrictEqual(bodies(yield* orchestrator.take(2)), new Set(["reply", "status"]))
        assert.deepStrictEqual(bodies(yield* participant.take(2)), new Set(["command", "tx"]))
        assert.deepStrictEqual(yield* orchestrator.rest, [])
        assert.deepStrictEqual(yield* participant.rest, [])
      }))

    test("accepts messages for a service without subscribers", () =>
      Effect.gen(function* () {
        const service = serviceName()
        yield* publish(...numbered(100).map((body) => message(service, body)))
      }))

    test("delivers the same text as often as it is published", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const { take } = yield* subscriber(settle, { service, kinds: ["reply"] })
        yield* publish(message(service, "same"), message(service, "same"), message(service, "same"))
        assert.strictEqual((yield* take(3)).length, 3)
      }))

    test("C13 delivers no more messages than a subscriber may leave unacknowledged", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const { next, rest, take } = yield* subscriber(settle, { service, kinds: ["reply"], maxInFlight: 2 })
        yield* publish(...numbered(5).map((body) => message(service, body)))
        const [first, second] = yield* take(2)
        assert.deepStrictEqual(yield* rest, [])
        yield* first!.acknowledge
        const third = yield* next
        assert.deepStrictEqual(yield* rest, [])
        // Acknowledged already: makes no room again.
        yield* first!.acknowledge
        assert.deepStrictEqual(yield* rest, [])
        yield* acknowledgeAll([second!, third])
        const last = yield* take(2)
        assert.deepStrictEqual(bodies([first!, second!, third, ...last]), new Set(numbered(5)))
      }))
  }

const concurrent =
  (settle: Effect.Effect<void>, serviceName: () => string) =>
  (test: Test): void => {
    test("gives each message to one subscriber of a service", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const all = yield* Effect.forEach([1, 2, 3], () =>
          subscriber(settle, { service, kinds: ["reply"], maxInFlight: 1_000 })
        )
        yield* Effect.forEach(numbered(60), (body) => publish(message(service, body)), {
          concurrency: "unbounded",
          discard: true
        })
        const arrived: Array<Broker.Delivery> = []
        // A broker may have a limit of its own for what is not acknowledged.
        for (let more = true; more; ) {
          const next = (yield* Effect.forEach(all, ({ rest }) => rest)).flat()
          arrived.push(...next)
          yield* acknowledgeAll(next)
          more = next.length > 0
        }
        assert.strictEqual(arrived.length, 60)
        assert.deepStrictEqual(bodies(arrived), new Set(numbered(60)))
      }))

    test("loses no message between many publishers and many subscribers that acknowledge late", () =>
      Effect.gen(function* () {
        const broker = yield* Broker.Broker
        const service = serviceName()
        const arrived = yield* Queue.unbounded<string>()
        yield* Effect.forEach([1, 2, 3, 4], () =>
          broker.subscribe({ service, kinds: ["reply"], maxInFlight: 4 }).pipe(
            Stream.mapEffect(
              ({ acknowledge, body }) =>
                Effect.yieldNow.pipe(Effect.andThen(Queue.offer(arrived, body)), Effect.andThen(acknowledge)),
              { concurrency: 4 }
            ),
            Stream.runDrain,
            Effect.forkScoped
          )
        )
        yield* settle
        yield* Effect.forEach(numbered(400), (body) => publish(message(service, body)), {
          concurrency: 8,
          discard: true
        })
        const seen = new Set<string>()
        while (seen.size < 400) seen.add(yield* Queue.take(arrived))
      }))
  }

/** A subscriber of replies that wants an address of its own, and the address that it has now. */
const asker = Effect.fnUntraced(function* (settle: Effect.Effect<void>, service: string) {
  const own: { address: string | undefined } = { address: undefined }
  const onOwnAddress = (address: string | undefined) => {
    own.address = address
  }
  const subscribed = yield* subscriber(settle, { service, kinds: ["reply"], onOwnAddress })
  return { ...subscribed, own }
})

type Asker = Effect.Success<ReturnType<typeof asker>>

/** Asks `to`, and gives the replies that it is to send: to the instance that has asked, as the transport has said there. */
const asked = Effect.fnUntraced(function* (
  by: Asker,
  from: string,
  [to, participant]: readonly [string, Effect.Success<ReturnType<typeof subscriber>>],
  texts: ReadonlyArray<string>
) {
  const replyTo = by.own.address
  const replies: Array<Broker.Message> = []
  for (const body of texts) {
    const question = message(to, body, { kind: "command", from, name: "Charge" })
    yield* publish(replyTo === undefined ? question : { ...question, replyTo })
    const delivery = yield* participant.next
    yield* delivery.acknowledge
    const wanted = delivery.replyTo === undefined ? {} : { instance: delivery.replyTo }
    replies.push(message(from, delivery.body, { from: to, ...wanted }))
  }
  return replies
})

const asking =
  (settle: Effect.Effect<void>, serviceName: () => string, hasAddresses: boolean) =>
  (test: Test): void => {
    test("C13 gives a reply to the subscriber that has asked, where the transport knows it", () =>
      Effect.gen(function* () {
        const [service, other] = [serviceName(), serviceName()]
        const one = yield* asker(settle, service)
        const two = yield* asker(settle, service)
        const participant = yield* subscriber(settle, { service: other, kinds: ["command"] })
        if (hasAddresses) assert.isTrue(one.own.address !== undefined && two.own.address !== undefined)
        assert.isTrue(one.own.address === undefined || one.own.address !== two.own.address)
        const [first, second] = [numbered(6), numbered(12).slice(6)]
        yield* publish(...(yield* asked(one, service, [other, participant], first)))
        yield* publish(...(yield* asked(two, service, [other, participant], second)))
        const [ofOne, ofTwo] = [yield* one.rest, yield* two.rest]
        assert.deepStrictEqual(bodies([...ofOne, ...ofTwo]), new Set(numbered(12)))
        if (one.own.address !== undefined) {
          assert.deepStrictEqual([bodies(ofOne), bodies(ofTwo)], [new Set(first), new Set(second)])
          assert.deepStrictEqual(ofOne[0]!.address, { to: service, kind: "reply", from: other })
        }
        yield* acknowledgeAll([...ofOne, ...ofTwo])
      }))

    test("C13 gives a reply to another subscriber where the one that has asked is not there", () =>
      Effect.gen(function* () {
        const [service, other] = [serviceName(), serviceName()]
        const one = yield* asker(settle, service)
        const two = yield* asker(settle, service)
        const participant = yield* subscriber(settle, { service: other, kinds: ["command"] })
        const replies = yield* asked(two, service, [other, participant], ["1", "2"])
        yield* two.end
        assert.isUndefined(two.own.address)
        yield* publish(...replies, message(service, "3", { from: other, instance: "nobody" }))
        yield* settle
        // A transport may keep what the one that is gone would have got as any other, until somebody comes in its place.
        const next = yield* asker(settle, service)
        const arrived = [...(yield* one.rest), ...(yield* next.rest)]
        assert.deepStrictEqual(bodies(arrived), new Set(["1", "2", "3"]))
        assert.deepStrictEqual(arrived[0]!.address, { to: service, kind: "reply", from: other })
      }))
  }

const askedAgain =
  (settle: Effect.Effect<void>, serviceName: () => string) =>
  (test: Test): void => {
    test("W2 delivers a reply again that was not acknowledged by the subscriber that has asked", () =>
      Effect.gen(function* () {
        const [service, other] = [serviceName(), serviceName()]
        const first = yield* asker(settle, service)
        const participant = yield* subscriber(settle, { service: other, kinds: ["command"] })
        yield* publish(...(yield* asked(first, service, [other, participant], ["1", "2"])))
        const [kept, lost] = yield* first.take(2)
        yield* kept!.acknowledge
        yield* settle
        yield* first.end
        const second = yield* asker(settle, service)
        const again = yield* second.next
        assert.strictEqual(again.body, lost!.body)
        yield* again.acknowledge
        assert.deepStrictEqual(yield* second.rest, [])
      }))
  }

const recovery =
  (settle: Effect.Effect<void>, serviceName: () => string) =>
  (test: Test): void => {
    test("W2 delivers a message again, marked as redelivered, if its subscription ended before the acknowledgement", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const group: Broker.Group = { service, kinds: ["reply"] }
        const first = yield* subscriber(settle, group)
        yield* publish(...numbered(4).map((body) => message(service, body)))
        const [kept, ...lost] = yield* first.take(4)
        yield* kept!.acknowledge
        yield* settle
        yield* first.end
        const second = yield* subscriber(settle, group)
        const again = yield* second.take(3)
        assert.deepStrictEqual(bodies(again), bodies(lost))
        for (const delivery of again) {
          assert.isTrue(delivery.redelivered)
          assert.deepStrictEqual(delivery.address, kept!.address)
        }
        yield* acknowledgeAll(again)
        assert.deepStrictEqual(yield* second.rest, [])
        yield* second.end
        assert.deepStrictEqual(yield* (yield* subscriber(settle, group)).rest, [])
      }))

    test("ignores an acknowledgement after the end of the subscription", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const group: Broker.Group = { service, kinds: ["reply"] }
        const first = yield* subscriber(settle, group)
        yield* publish(message(service, "1"))
        const late = yield* first.next
        yield* first.end
        yield* late.acknowledge
        const again = yield* (yield* subscriber(settle, group)).next
        assert.strictEqual(again.body, "1")
        yield* late.acknowledge
      }))

    test("keeps messages for a service whose subscribers are all gone", () =>
      Effect.gen(function* () {
        const service = serviceName()
        const group: Broker.Group = { service, kinds: ["reply"] }
        yield* (yield* subscriber(settle, group)).end
        yield* publish(...numbered(10).map((body) => message(service, body)))
        yield* settle
        const { take } = yield* subscriber(settle, group)
        assert.deepStrictEqual(bodies(yield* take(10)), new Set(numbered(10)))
      }))
  }
