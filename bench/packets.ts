/** The CPU of the bytes of one MQTT packet: made here, and by `generate` of mqtt-packet, the reference (decision 0011). */
import { generate, type IPubackPacket, type IPublishPacket } from "mqtt-packet"
import * as MqttPacket from "../src/adapters/mqtt/MqttPacket.ts"
import type { Report } from "./run.ts"

const version = 5
const topic = "saga/payments/command/orders"
/** As long as the envelope of a small command. */
const body = "x".repeat(400)
const published: IPublishPacket = {
  cmd: "publish",
  topic,
  payload: body,
  qos: 1,
  messageId: 7,
  dup: false,
  retain: false,
  properties: {}
}
const acknowledged: IPubackPacket = { cmd: "puback", messageId: 7 }

const packets = {
  publish: {
    ours: () => MqttPacket.publish(topic, body, 7, version),
    reference: () => generate(published, { protocolVersion: version })
  },
  puback: {
    ours: () => MqttPacket.acknowledgement(7),
    reference: () => generate(acknowledged, { protocolVersion: version })
  }
}

const times = 200_000

/** Microseconds of CPU a packet: the least of several rounds, which other work on the machine changes least. */
const cost = (make: () => Uint8Array): number => {
  let least = Number.POSITIVE_INFINITY
  let bytes = 0
  for (let round = 0; round < 6; round++) {
    const before = process.cpuUsage()
    for (let i = 0; i < times; i++) bytes += make().length
    const { system, user } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / times)
  }
  if (bytes === 0) throw new Error("no packet was made")
  return least
}

export const run = async (): Promise<Report> => ({
  rows: Object.entries(packets).map(([packet, { ours, reference }]) => {
    const [own, theirs] = [cost(ours), cost(reference)]
    return {
      case: packet,
      ours: Number(own.toFixed(2)),
      reference: "mqtt-packet",
      referenceValue: Number(theirs.toFixed(2)),
      ratio: Number((theirs / own).toFixed(1))
    }
  })
})
