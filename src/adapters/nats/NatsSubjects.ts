/**
 * The subjects of one application: the topics of SPEC C3, with `.` for `/`. A dot in a name becomes `~`, which no name has. Each
 * service has a stream of what is sent to it, named as its subjects with `+` for `.`, and in the stream a consumer for each kind,
 * which all instances of the service share.
 */
import * as Broker from "../../ports/Broker.ts"
import { isName } from "../../wire/Envelope.ts"

export interface NatsSubjects {
  readonly of: (address: Broker.Address) => string
  /** The subject to which the reply to a message is wanted; undefined: that of any instance, or no name of one. */
  readonly replySubjectOf: (message: Broker.Message) => string | undefined
  /** The address of a subject; undefined for a subject that is none of this application. */
  readonly parse: (subject: string) => Broker.Address | undefined
  /** The name of the stream of a service. */
  readonly stream: (service: string) => string
  /** The subjects of one kind of messages to a service. */
  readonly filter: (service: string, kind: Broker.Kind) => string
  /** The subjects of the replies to one instance of a service. They are in no stream. */
  readonly ownFilter: (service: string, instance: string) => string
}

/** Every kind of messages. */
export const kinds: ReadonlyArray<Broker.Kind> = ["command", "tx", "reply", "status"]

const token = (name: string): string => name.replaceAll(".", "~")

export const make = (namespace: string | undefined): NatsSubjects => {
  const prefix = namespace === undefined ? "" : `${token(namespace)}.`
  const of = (address: Broker.Address): string => prefix + token(Broker.topic(address)).replaceAll("/", ".")
  return {
    of,
    replySubjectOf: ({ address: { from, to }, replyTo }) =>
      isName(replyTo) ? of({ to: from, kind: "reply", from: to, instance: replyTo }) : undefined,
    ownFilter: (service, instance) => `${prefix}saga.v1.${token(service)}.reply.*.${token(instance)}`,
    parse: (subject) =>
      subject.startsWith(prefix) && !subject.includes("/")
        ? Broker.parseTopic(subject.slice(prefix.length).replaceAll(".", "/").replaceAll("~", "."))
        : undefined,
    stream: (service) => `${prefix}saga.v1.${token(service)}`.replaceAll(".", "+"),
    filter: (service, kind) => `${prefix}saga.v1.${token(service)}.${kind}.*${kind === "command" ? ".*" : ""}`
  }
}
