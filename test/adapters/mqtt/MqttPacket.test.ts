/** The bytes that we write are read by the parser of mqtt.js as the packets that they should be. */
import { assert, describe, it } from "@effect/vitest"
import mqttPacket, { type Packet } from "mqtt-packet"
import * as MqttPacket from "../../../src/adapters/mqtt/MqttPacket.ts"

/** All packets in some bytes, as a broker of the version reads them. */
const read = (bytes: Uint8Array, protocolVersion: MqttPacket.Version): ReadonlyArray<Packet> => {
  const parser = mqttPacket.parser({ protocolVersion })
  const packets: Array<Packet> = []
  parser.on("packet", (packet) => packets.push(packet))
  parser.on("error", (error) => assert.fail(error.message))
  assert.strictEqual(parser.parse(Buffer.from(bytes)), 0, "bytes that belong to no packet")
  return packets
}

const versions = [4, 5] as const
const ids = [1, 255, 256, 65_535]
const topics = ["a", "saga/v1/payments/command/orders/Charge", "saga/v1/zahlungen/reply/bestellungen/Prüfen \u{1f600}"]

/** Of so many bytes. */
const bodies: ReadonlyArray<readonly [number, string]> = [
  ...[0, 1, 127, 128, 16_383, 16_384, 262_144, 2_097_152].map((size) => [size, "x".repeat(size)] as const),
  [6, "äöü"],
  [4, "\u{1f600}"],
  [128, "ü".repeat(64)],
  [262_143, "\u20ac".repeat(87_381)],
  // Half a character is written as the one that stands for it.
  [5, "a\ud83db"]
]

describe("a message", () => {
  for (const version of versions)
    it(`a message is read back with MQTT ${version === 4 ? "3.1.1" : 5}`, () => {
      for (const topic of topics)
        for (const messageId of ids)
          for (const [size, body] of bodies) {
            const [packet, ...others] = read(MqttPacket.publish(topic, body, messageId, version), version)
            if (packet?.cmd !== "publish") return assert.fail(`${packet?.cmd}`)
            const what = `${topic}, ${messageId}, ${size} bytes`
            assert.strictEqual(others.length, 0, what)
            const { dup, payload, properties, qos, retain } = packet
            assert.deepStrictEqual(
              { topic: packet.topic, messageId: packet.messageId, qos, dup, retain },
              { topic, messageId, qos: 1, dup: false, retain: false },
              what
            )
            assert.strictEqual(payload.length, size, what)
            assert.isTrue(Buffer.from(payload).equals(Buffer.from(body)), what)
            assert.isUndefined(properties && Object.keys(properties)[0], what)
          }
    })

  /** The message of these tests, with a payload of so many bytes. */
  const packetOf = (size: number) =>
    ({
      cmd: "publish",
      topic: "topic",
      payload: "x".repeat(size),
      messageId: 7,
      qos: 1,
      dup: false,
      retain: false
    }) as const satisfies Packet

  it("a message has the bytes that mqtt.js would write, at every size of its length field", () => {
    for (const version of versions)
      for (const around of [0x80, 0x4000, 0x200000])
        for (let size = around - 12; size <= around + 2; size++) {
          const written = MqttPacket.publish("topic", "x".repeat(size), 7, version)
          const expected = mqttPacket.generate(packetOf(size), { protocolVersion: version })
          assert.isTrue(written.equals(expected), `MQTT ${version}, ${size} bytes`)
        }
  })

  it("the topic for the reply is a property of MQTT 5, at every size of its length fields, and is in the size", () => {
    for (const length of [1, 122, 123, 124, 125, 126, 300])
      for (const size of [0, 100, 16_000]) {
        const replyTopic = "r".repeat(length)
        const written = MqttPacket.publish("topic", "x".repeat(size), 7, 5, replyTopic)
        const packet: Packet = { ...packetOf(size), properties: { responseTopic: replyTopic } }
        assert.isTrue(written.equals(mqttPacket.generate(packet, { protocolVersion: 5 })), `${length}, ${size} bytes`)
        assert.strictEqual(MqttPacket.sizeOfPublish("topic", "x".repeat(size), 5, replyTopic), written.length)
      }
  })

  it("a message ends where the next one begins", () => {
    for (const version of versions) {
      const packets = ids.flatMap((id) => [
        MqttPacket.publish("a", `body ${id}`, id, version),
        MqttPacket.acknowledgement(id)
      ])
      assert.deepStrictEqual(
        read(Buffer.concat(packets), version).map(({ cmd, messageId }) => `${cmd} ${messageId}`),
        ids.flatMap((id) => [`publish ${id}`, `puback ${id}`])
      )
    }
  })
})

describe("an acknowledgement", () => {
  it("an acknowledgement without a reason is read in both versions", () => {
    for (const version of versions)
      for (const messageId of ids) {
        const [packet, ...others] = read(MqttPacket.acknowledgement(messageId), version)
        if (packet?.cmd !== "puback") return assert.fail(`${packet?.cmd}`)
        assert.strictEqual(others.length, 0)
        assert.strictEqual(packet.messageId, messageId)
        assert.include([undefined, 0], packet.reasonCode)
      }
  })

  it("an acknowledgement has the bytes that mqtt.js would write", () => {
    for (const messageId of ids)
      assert.isTrue(
        MqttPacket.acknowledgement(messageId).equals(
          mqttPacket.generate({ cmd: "puback", messageId }, { protocolVersion: 4 })
        ),
        `${messageId}`
      )
  })
})
