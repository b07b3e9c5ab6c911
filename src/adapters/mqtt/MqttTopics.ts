/** The topics of one application, and how the instances of a service share them (SPEC C3). */
import * as Broker from "../../ports/Broker.ts"
import { isName } from "../../wire/Envelope.ts"

export interface MqttTopics {
  readonly of: (address: Broker.Address) => string
  /** The topic to which the reply to a message is wanted; undefined: the topic of any instance, or no name of one. */
  readonly replyTopicOf: (message: Broker.Message) => string | undefined
  /** The address of a topic; undefined for a topic that is none of this application. */
  readonly parse: (topic: string) => Broker.Address | undefined
  /** The topic filters of a service. */
  readonly filters: (service: string, kinds: ReadonlyArray<Broker.Kind>) => Filters
  /** The topic filter for the replies to one instance; undefined: the broker could not say that this instance is not there. */
  readonly ownFilter: (service: string, instance: string) => string | undefined
}

export interface Filters {
  readonly wanted: Array<string>
  /** Filters of release 0.1.0: a session under the same client id may have them still, and is to cancel them. */
  readonly former: Array<string>
}

/**
 * The generation of the groups in which instances share messages. A session that an instance of another generation has left at
 * the broker gets copies of the messages, and takes none away. To be raised when sessions change.
 */
const generation = "v2"

const filterOf = (service: string, kind: Broker.Kind): string =>
  `saga/v1/${service}/${kind}/+${kind === "command" ? "/+" : ""}`

/** A broker with MQTT 3.1.1 knows no groups. */
export const make = (namespace: string | undefined, version: 4 | 5): MqttTopics => {
  const prefix = namespace === undefined ? "" : `${namespace}/`
  return {
    of: (address) => prefix + Broker.topic(address),
    replyTopicOf: ({ address: { from, to }, replyTo }) =>
      version === 5 && isName(replyTo)
        ? prefix + Broker.topic({ to: from, kind: "reply", from: to, instance: replyTo })
        : undefined,
    ownFilter: (service, instance) =>
      version === 5 ? `${prefix}${filterOf(service, "reply")}/${instance}` : undefined,
    parse: (topic) => (topic.startsWith(prefix) ? Broker.parseTopic(topic.slice(prefix.length)) : undefined),
    filters: (service, kinds) => {
      const filters = kinds.map((kind) => prefix + filterOf(service, kind))
      if (version === 4) return { wanted: filters, former: [] }
      const group = [...(namespace === undefined ? [] : [namespace]), service, generation].join(":")
      return {
        wanted: filters.map((filter) => `$share/${group}/${filter}`),
        // Release 0.1.0 had no namespace.
        former: namespace === undefined ? filters.map((filter) => `$share/${service}/${filter}`) : []
      }
    }
  }
}
