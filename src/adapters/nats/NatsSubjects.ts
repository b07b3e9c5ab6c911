/**
 * The subjects of one application: the topics of SPEC C3, with `.` for `/`. A dot in a name becomes `~`, which no name has. Each
 * service has a stream of what is sent to it, named as its subjects with `+` for `.`, and in the stream a consumer for each kind,
 * which all instances of the service share.
 */
import * as Broker from "../../ports/Broker.ts"

export interface NatsSubjects {
  readonly of: (address: Broker.Address) => string
  /** The address of a subject; undefined for a subject that is none of this application. */
  readonly parse: (subject: string) => Broker.Address | undefined
  /** The name of the stream of a service. */
  readonly stream: (service: string) => string
  /** The subjects of one kind of messages to a service. */
  readonly filter: (service: string, kind: Broker.Kind) => string
}

/** Every kind of messages. */
export const kinds: ReadonlyArray<Broker.Kind> = ["command", "tx", "reply", "status"]

const token = (name: string): string => name.replaceAll(".", "~")

export const make = (namespace: string | undefined): NatsSubjects => {
  const prefix = namespace === undefined ? "" : `${token(namespace)}.`
  return {
    of: (address) => prefix + token(Broker.topic(address)).replaceAll("/", "."),
    parse: (subject) =>
      subject.startsWith(prefix) && !subject.includes("/")
        ? Broker.parseTopic(subject.slice(prefix.length).replaceAll(".", "/").replaceAll("~", "."))
        : undefined,
    stream: (service) => `${prefix}saga.v1.${token(service)}`.replaceAll(".", "+"),
    filter: (service, kind) => `${prefix}saga.v1.${token(service)}.${kind}.*${kind === "command" ? ".*" : ""}`
  }
}
