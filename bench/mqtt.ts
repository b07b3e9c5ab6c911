/**
 * What a remote step that does nothing costs over MQTT, with memory stores on both sides, against a request and its reply
 * by bare mqtt.js, QoS 1 both ways. Both run in turns in one process over one Mosquitto, which is started for it: with
 * Nagle's algorithm, its default, what counts is by how much a packet is held back. `cpu`: microseconds of CPU that a step takes,
 * both sides together, without the broker.
 */
import { Effect, Layer, Schema } from "effect"
import {
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import mqtt from "mqtt"
import * as Mosquitto from "../test/fixtures/mosquitto.ts"
import type { Report } from "./run.ts"

const Echo = Participant.make("echo", { Say: { payload: { n: Schema.Int }, success: Schema.Int } })

const Ask = Saga.make("Ask", { context: { n: Schema.Int } }).pipe(
  Saga.remote("answer", { execute: { command: Echo.commands.Say, payload: ({ n }) => ({ n }) } }),
  Saga.commit
)

const ours = (n: number) => SagaManager.execute(Ask, { context: { n } })

const layer = (url: string) =>
  Layer.mergeAll(
    SagaManager.layer([Ask]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "bench" }),
        SagaExecutionRepository.layerMemory,
        TransactionCommitter.layerNone,
        MqttBroker.layer({ url })
      ])
    ),
    Participant.layer(Echo, { Say: ({ n }) => Effect.succeed(n) }).pipe(
      Layer.provide([ParticipantStore.layerMemory, MqttBroker.layer({ url })])
    )
  )

// ---- by hand -----------------------------------------------------------------------------------------------------

const connect = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = await mqtt.connectAsync(url, {
        protocolVersion: 5,
        log: () => {},
        properties: { receiveMaximum: 64 }
      })
      const { stream } = client
      if ("setNoDelay" in stream && typeof stream.setNoDelay === "function") stream.setNoDelay(true)
      return client
    }),
    (client) => Effect.promise(() => client.endAsync())
  )

const makeReference = Effect.fnUntraced(function* (url: string) {
  const requests = "bench/requests"
  const replies = "bench/replies"
  const responder = yield* connect(url)
  const requester = yield* connect(url)
  const waiting = new Map<number, (n: number) => void>()
  responder.on("message", (_, payload) => {
    const { id, n } = JSON.parse(payload.toString())
    responder.publish(replies, JSON.stringify({ id, n }), { qos: 1 })
  })
  requester.on("message", (_, payload) => {
    const { id, n } = JSON.parse(payload.toString())
    waiting.get(id)?.(n)
    waiting.delete(id)
  })
  yield* Effect.promise(() => responder.subscribeAsync(requests, { qos: 1 }))
  yield* Effect.promise(() => requester.subscribeAsync(replies, { qos: 1 }))
  let ids = 0
  return (n: number) =>
    Effect.callback<number>((resume) => {
      const id = ids++
      waiting.set(id, (answer) => resume(Effect.succeed(answer)))
      requester.publish(requests, JSON.stringify({ id, n }), { qos: 1 })
    })
})

// ---- measuring -----------------------------------------------------------------------------------------------------

const rate = Effect.fnUntraced(function* <R>(
  program: (n: number) => Effect.Effect<unknown, unknown, R>,
  inFlight: number,
  millis: number
) {
  let count = 0
  const start = performance.now()
  const before = process.cpuUsage()
  const loop = Effect.gen(function* () {
    while (performance.now() - start < millis) yield* program(count++)
  })
  yield* Effect.all(
    Array.from({ length: inFlight }, () => loop),
    { concurrency: "unbounded", discard: true }
  )
  const { system, user } = process.cpuUsage(before)
  return { rate: (1_000 * count) / (performance.now() - start), cpu: (system + user) / count }
})

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 7
const millis = 1_000

const measure = Effect.fnUntraced(function* (url: string) {
  const reference = yield* makeReference(url)
  const rows = []
  // Until the code is compiled; the first messages may also be sent before there is a subscriber, and again after a second.
  yield* rate(ours, 64, 8_000)
  yield* rate(reference, 64, 2_000)
  for (const inFlight of [1, 64]) {
    const pairs = []
    for (let round = 0; round < rounds; round++) {
      pairs.push({ reference: yield* rate(reference, inFlight, millis), ours: yield* rate(ours, inFlight, millis) })
    }
    rows.push({
      case: "remote step",
      inFlight,
      ours: Math.round(median(pairs.map(({ ours }) => ours.rate))),
      reference: "mqtt.js",
      referenceValue: Math.round(median(pairs.map(({ reference }) => reference.rate))),
      ratio: Number(median(pairs.map(({ ours, reference }) => ours.rate / reference.rate)).toFixed(3)),
      cpu: Math.round(median(pairs.map(({ ours }) => ours.cpu))),
      cpuOfReference: Math.round(median(pairs.map(({ reference }) => reference.cpu)))
    })
  }
  return { rows }
})

const program = Effect.gen(function* () {
  const { url } = yield* Mosquitto.started({ lines: ["set_tcp_nodelay true"] })
  return yield* Effect.provide(measure(url), layer(url))
})

export const run = (): Promise<Report> => Effect.runPromise(Effect.scoped(program))
