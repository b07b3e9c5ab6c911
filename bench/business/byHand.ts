/**
 * The order business without a library for sagas, as one would write it for production: a row per order says how far it is, an
 * outbox and an inbox per service, each message handled in one transaction with what it changes. With `twoPhase` a service
 * prepares, its reply is its vote, and a second message commits or rejects. `bench/business.ts` prints the size of this file.
 */
import { Deferred, Effect, Latch, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import mqtt, { type MqttClient } from "mqtt"
import type { Order } from "../../examples/order/contracts.ts"
import * as Stock from "../../examples/order/orders.ts"
import { messages, type Outcome, Shop, type Start } from "./shop.ts"

interface Message {
  /** The inbox knows the message by it. */
  readonly id: string
  readonly to: string
  readonly from: string
  readonly what: string
  readonly orderId: string
  readonly order?: Order
  /** The payment or the parcel that the message is about. */
  readonly about?: string
}

/** The outcome of a handled message: the messages that leave in its transaction, and the outcome of the order if that is its end. */
interface Handled {
  readonly out: ReadonlyArray<Message>
  readonly outcome?: Outcome
}

type Handle = (message: Message) => Effect.Effect<Handled, unknown, SqlClient.SqlClient>

/** Messages that leave the outbox together. */
const batch = 100
/** A consumer of mqtt.js acknowledges after its handler, and handles one message at a time: so there are several. */
const consumers = 8

const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists inbox (id text primary key)`
  yield* sql`create table if not exists outbox (id bigserial primary key, body text not null)`
})

/** The broker sends what it has kept at once, so the handler is there before the connection. */
const connect = (url: string, clientId: string, handleMessage?: MqttClient["handleMessage"]) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const properties = { sessionExpiryInterval: 300, receiveMaximum: 64 }
      const client = mqtt.connect(url, { protocolVersion: 5, clientId, clean: false, properties, manualConnect: true })
      if (handleMessage !== undefined) client.handleMessage = handleMessage
      const connected = new Promise((resolve) => client.once("connect", resolve))
      client.connect()
      await connected
      const { stream } = client
      if ("setNoDelay" in stream && typeof stream.setNoDelay === "function") stream.setNoDelay(true)
      return client
    }),
    (client) => Effect.promise(() => client.endAsync())
  )

/** Sends what stands in the outbox, in batches, when something has come in and once a second. */
const relay = Effect.fnUntraced(function* (client: MqttClient, topic: (service: string) => string, wake: Latch.Latch) {
  const sql = yield* SqlClient.SqlClient
  const publish = ({ body }: { readonly body: string }) => {
    messages.sent++
    const { to }: Message = JSON.parse(body)
    return client.publishAsync(topic(to), body, { qos: 1 })
  }
  const once = sql.withTransaction(
    Effect.gen(function* () {
      const rows = yield* sql<{ id: string; body: string }>`delete from outbox where id in
        (select id from outbox order by id limit ${batch} for update skip locked) returning id::text as id, body`
      const ordered = rows.toSorted((a, b) => Number(a.id) - Number(b.id))
      const taken = yield* Effect.promise(() => Promise.all(ordered.map(publish)))
      // A service that is away keeps its subscription; where there is none yet, the broker would drop the message.
      const isHeard = taken.every((packet) => packet?.cmd !== "puback" || packet.reasonCode !== 0x10)
      return isHeard ? rows.length : yield* Effect.fail("nobody has subscribed")
    })
  )
  const all = Effect.andThen(wake.close, Effect.repeat(once, { until: (sent) => sent < batch }))
  const woken = Effect.raceFirst(wake.await, Effect.sleep("1 second"))
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.retry(all, Schedule.spaced("1 second")), woken)))
})

/** A service: `handle` changes its tables, and `settled` is called after the commit that ends an order. */
const service = Effect.fnUntraced(function* (
  { namespace, service, url }: Start,
  handle: Handle,
  settled: (orderId: string, outcome: Outcome) => void = () => {}
) {
  const sql = yield* SqlClient.SqlClient
  yield* tables
  const topic = (to: string) => `${namespace}/${to}`
  const wake = yield* Latch.make(true)
  const keep = (out: ReadonlyArray<Message>) =>
    sql`insert into outbox (body) select * from unnest(${out.map((it) => JSON.stringify(it))}::text[])`
  const receive = (body: string) => {
    const message: Message = JSON.parse(body)
    const handled = sql.withTransaction(
      Effect.gen(function* () {
        const first = yield* sql`insert into inbox (id) values (${message.id}) on conflict do nothing returning id`
        if (first.length === 0) return undefined
        const { out, outcome } = yield* handle(message)
        if (out.length > 0) yield* keep(out)
        return outcome
      })
    )
    return Effect.retry(handled, Schedule.spaced("100 millis")).pipe(
      Effect.tap((outcome) => Effect.sync(() => outcome !== undefined && settled(message.orderId, outcome))),
      Effect.andThen(wake.open)
    )
  }
  const run = Effect.runPromiseWith(yield* Effect.context<SqlClient.SqlClient>())
  yield* relay(yield* connect(url, `${namespace}.${service}.out`), topic, wake)
  const consume = Effect.fnUntraced(function* (n: number) {
    const client = yield* connect(
      url,
      `${namespace}.${service}.${n}`,
      ({ payload }, done) => void run(receive(payload.toString())).then(() => done())
    )
    const shared = `$share/${service}/${topic(service)}`
    yield* Effect.promise(() => client.subscribeAsync(shared, { qos: 1 }))
  })
  yield* Effect.forEach(Array.from({ length: consumers }).keys(), consume, { concurrency: "unbounded", discard: true })
  return { keep, wake: wake.open }
})

// ---- payments and shipping -----------------------------------------------------------------------------------------

const reply = ({ from, id, orderId, to }: Message, what: string, about?: string): Handled => ({
  out: [{ id: `${id}:reply`, to: from, from: to, what, orderId, ...(about !== undefined && { about }) }]
})

const payments = (twoPhase: boolean): Handle =>
  Effect.fnUntraced(function* (message) {
    const sql = yield* SqlClient.SqlClient
    const { about = "", order, what } = message
    if (what === "charge" && order !== undefined) {
      const { amount, card, orderId } = order
      if (card.startsWith("9") || amount > 500_000) return reply(message, "declined")
      const id = `payment-${orderId}`
      yield* twoPhase
        ? sql`insert into payment (id, order_id, amount, refunded, prepared_by)
            values (${id}, ${orderId}, ${amount}, false, ${orderId})`
        : sql`insert into payment (id, order_id, amount, refunded) values (${id}, ${orderId}, ${amount}, false)`
      return reply(message, "charged", id)
    }
    if (what === "refund") yield* sql`update payment set refunded = true where id = ${about}`
    if (what === "commit") yield* sql`update payment set prepared_by = null where id = ${about}`
    if (what === "reject") yield* sql`delete from payment where id = ${about}`
    return reply(message, "done")
  })

const shipping = (twoPhase: boolean): Handle =>
  Effect.fnUntraced(function* (message) {
    const sql = yield* SqlClient.SqlClient
    const { about = "", order, what } = message
    if (what === "ship" && order !== undefined) {
      const { city, orderId } = order
      const express = order.speed === "express"
      if (express && ["Atlantis", "Avalon", "Utopia"].includes(city)) return reply(message, "noCourier")
      const id = `${express ? "courier" : "label"}-${orderId}`
      yield* twoPhase
        ? sql`insert into parcel (id, order_id, city, express, prepared_by)
            values (${id}, ${orderId}, ${city}, ${express}, ${orderId})`
        : sql`insert into parcel (id, order_id, city, express) values (${id}, ${orderId}, ${city}, ${express})`
      return reply(message, "shipped", id)
    }
    if (what === "commit") yield* sql`update parcel set prepared_by = null where id = ${about}`
    return reply(message, "done")
  })

// ---- orders --------------------------------------------------------------------------------------------------------

interface Progress {
  readonly body: string
  readonly payment: string
}

const outcomes: Readonly<Record<string, Outcome>> = { done: "committed", undone: "undone" }
const nothing: Handled = { out: [] }

const orders = (twoPhase: boolean): Handle =>
  Effect.fnUntraced(function* ({ about = "", orderId, what }) {
    const sql = yield* SqlClient.SqlClient
    const ask = (to: string, what: string, more: Partial<Message>): Message => ({
      ...{ id: `${orderId}:${to}:${what}`, to, from: "orders", what, orderId },
      ...more
    })
    const moved = (state: string, expected: string) =>
      sql<Progress>`update progress set state = ${state} where id = ${orderId} and state = ${expected}
        returning body, payment`
    switch (what) {
      case "charged": {
        const [row] = yield* sql<Progress>`update progress set state = 'shipping', payment = ${about}
          where id = ${orderId} and state = 'charging' returning body, payment`
        return row === undefined ? nothing : { out: [ask("shipping", "ship", { order: JSON.parse(row.body) })] }
      }
      case "declined": {
        if ((yield* moved("undone", "charging")).length === 0) return nothing
        yield* Stock.release(orderId)
        return { out: [], outcome: "undone" }
      }
      case "shipped": {
        const [row] = yield* moved(twoPhase ? "committing" : "done", "shipping")
        if (row === undefined) return nothing
        yield* Stock.confirm({ reservation: orderId })
        if (!twoPhase) return { out: [], outcome: "committed" }
        return { out: [ask("payments", "commit", { about: row.payment }), ask("shipping", "commit", { about })] }
      }
      case "noCourier": {
        const [row] = yield* moved("undoing", "shipping")
        if (row === undefined) return nothing
        return { out: [ask("payments", twoPhase ? "reject" : "refund", { about: row.payment })] }
      }
    }
    // A refund, a commit or a rejection is acknowledged.
    const [row] = yield* sql<{ state: string }>`update progress set missing = missing - 1,
      state = case when state = 'undoing' then 'undone' when missing = 1 then 'done' else state end
      where id = ${orderId} and state in ('undoing', 'committing') returning state`
    if (row?.state === "undone") yield* Stock.release(orderId)
    const outcome = outcomes[row?.state ?? ""]
    return { out: [], ...(outcome !== undefined && { outcome }) }
  })

const shop = (start: Start) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    /** Callers of this process, by the id of the order whose end they wait for. */
    const waiting = new Map<string, Deferred.Deferred<Outcome>>()
    const settled = (orderId: string, outcome: Outcome) => {
      const deferred = waiting.get(orderId)
      if (deferred !== undefined) Deferred.doneUnsafe(deferred, Effect.succeed(outcome))
    }
    yield* sql`create table if not exists progress (id text primary key, state text not null, body text not null,
      payment text not null default '', missing int not null default 2)`
    const { keep, wake } = yield* service(start, orders(start.twoPhase), settled)
    /** One transaction: the order, its reservation, and the message that asks for the money. */
    const begin = Effect.fnUntraced(function* (order: Order) {
      const { orderId } = order
      const body = JSON.stringify(order)
      const [known] = yield* sql<{ state: string }>`select state from progress where id = ${orderId}`
      if (known !== undefined) return known.state
      const reserved = yield* Effect.result(Stock.reserve(order))
      const state = reserved._tag === "Success" ? "charging" : "undone"
      yield* sql`insert into progress (id, state, body) values (${orderId}, ${state}, ${body})`
      if (state === "undone") return state
      yield* keep([{ id: `${orderId}:charge`, to: "payments", from: "orders", what: "charge", orderId, order }])
      return state
    }, sql.withTransaction)
    return Shop.of({
      place: Effect.fnUntraced(
        function* (order) {
          const deferred = Deferred.makeUnsafe<Outcome>()
          waiting.set(order.orderId, deferred)
          const state = yield* begin(order)
          yield* wake
          const outcome = outcomes[state] ?? (yield* Deferred.await(deferred))
          waiting.delete(order.orderId)
          return outcome
        },
        Effect.provideService(SqlClient.SqlClient, sql)
      )
    })
  })

export const orchestrator = (start: Start) => Layer.effect(Shop, shop(start))

export const participant = (start: Start) =>
  Layer.effectDiscard(
    service(start, start.service === "payments" ? payments(start.twoPhase) : shipping(start.twoPhase))
  )
