/**
 * The bytes of the two packets that every message needs: `PUBLISH` with QoS 1, and `PUBACK` without a reason. They are made
 * here, as mqtt.js would write each in seven pieces and keep a copy of each message.
 */
import { Buffer } from "node:buffer"

export type Version = 4 | 5

/** Bytes of the properties of a `PUBLISH`: there is one, the topic for the reply, or none. */
const propertiesOf = (replyTopic: string | undefined): number =>
  replyTopic === undefined ? 0 : 3 + Buffer.byteLength(replyTopic)

/** Bytes after the length field of a `PUBLISH`. MQTT 3.1.1 has no properties. */
const remainingOf = (topicBytes: number, body: string, version: Version, properties: number): number =>
  2 + topicBytes + 2 + (version === 5 ? lengthBytes(properties) + properties : 0) + Buffer.byteLength(body)

/** Bytes of a `PUBLISH`. */
export const sizeOfPublish = (topic: string, body: string, version: Version, replyTopic?: string): number => {
  const remaining = remainingOf(Buffer.byteLength(topic), body, version, propertiesOf(replyTopic))
  return 1 + lengthBytes(remaining) + remaining
}

/** `messageId`: 1 to 65,535. `replyTopic`: the response topic of MQTT 5; 3.1.1 has none. */
export const publish = (
  topic: string,
  body: string,
  messageId: number,
  version: Version,
  replyTopic?: string
): Buffer => {
  const topicBytes = Buffer.byteLength(topic)
  const properties = propertiesOf(replyTopic)
  const remaining = remainingOf(topicBytes, body, version, properties)
  const packet = Buffer.allocUnsafe(1 + lengthBytes(remaining) + remaining)
  packet[0] = 0x32
  let at = writeLength(packet, remaining, 1)
  at = packet.writeUInt16BE(topicBytes, at)
  at += packet.write(topic, at)
  at = packet.writeUInt16BE(messageId, at)
  if (version === 5) at = writeLength(packet, properties, at)
  if (version === 5 && replyTopic !== undefined) {
    packet[at++] = responseTopic
    at = packet.writeUInt16BE(properties - 3, at)
    at += packet.write(replyTopic, at)
  }
  packet.write(body, at)
  return packet
}

/** The number of the property. */
const responseTopic = 0x08

/** A `PUBACK`, the same in both versions of MQTT. */
export const acknowledgement = (messageId: number): Buffer => Buffer.from([0x40, 2, messageId >> 8, messageId & 0xff])

/** Writes a length: seven bits in each byte, the lowest first. The eighth bit says that another byte follows. */
const writeLength = (packet: Buffer, length: number, at: number): number => {
  let left = length
  let end = at
  while (left > 0x7f) {
    packet[end++] = (left & 0x7f) | 0x80
    left >>>= 7
  }
  packet[end++] = left
  return end
}

const lengthBytes = (length: number): number => (length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4)
