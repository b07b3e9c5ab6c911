/** The public part of `Broker`: the port, its messages, and what an adapter for another transport needs. */
export {
  type Address,
  addressOf,
  Broker,
  BrokerError,
  type Delivery,
  decode,
  type Group,
  isAddress,
  type Kind,
  type Message,
  MessageMalformed,
  MessageTooLarge,
  maxMessageBytes,
  parseTopic,
  read,
  SenderMismatch,
  shared,
  sizeOf,
  toMessage,
  topic,
  type Unreadable,
  unsendable
} from "../ports/Broker.ts"
export { layerMemory, layerMemoryWith } from "../ports/MemoryBroker.ts"
export type { Envelope } from "../wire/Envelope.ts"
export type { JsonIssue } from "../wire/JsonLimits.ts"
