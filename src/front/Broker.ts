/** The public part of `Broker`: the port, its messages, and what an adapter for another transport needs. */
export {
  type Address,
  addressOf,
  Broker,
  BrokerError,
  type Delivery,
  decode,
  type Group,
  type Kind,
  layerMemory,
  layerMemoryWith,
  type Message,
  MessageMalformed,
  MessageTooLarge,
  maxMessageBytes,
  parseTopic,
  read,
  SenderMismatch,
  sizeOf,
  toMessage,
  topic,
  type Unreadable,
  unsendable
} from "../ports/Broker.ts"
export type { Envelope } from "../wire/Envelope.ts"
export type { JsonIssue } from "../wire/JsonLimits.ts"
