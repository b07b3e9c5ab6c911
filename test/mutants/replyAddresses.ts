/** SPEC C12 and C13, where a reply is addressed to the instance that has asked: who is believed, and what is done where it is gone. */
import type { Mutant } from "./Mutant.ts"

const outgoing = "test/adapters/mqtt/MqttOutgoing.test.ts"
const instances = "test/orchestrator/replyAddresses.test.ts"

export const replyAddresses: ReadonlyArray<Mutant> = [
  {
    rule: "C13",
    what: "a reply to an instance of a service is sent to any",
    file: "src/participant/TakeMessages.ts",
    find: "address: replyTo === undefined ? address : { ...address, instance: replyTo }",
    replace: "address",
    tests: [instances]
  },
  {
    rule: "C8",
    what: "a message that is sent again wants its reply at one instance",
    file: "src/ports/Broker.ts",
    find: "    return publish(message)\n",
    replace: '    return publishFirst({ publish } as Broker["Service"], envelope, command)\n',
    tests: [instances]
  },
  {
    rule: "C12",
    what: "a sender may want the reply at an instance of another service",
    file: "src/ports/ArrivedMessages.ts",
    find: " && wanted.to === from && wanted.from === to",
    replace: "",
    tests: ["test/adapters/mqtt/MqttBroker.test.ts"]
  },
  {
    rule: "C13",
    what: "a reply to an instance that is not there is lost (MQTT)",
    file: "src/adapters/mqtt/MqttOutgoing.ts",
    find: "outgoing.sharedTopic !== undefined && (isUnheard || refusal !== undefined)",
    replace: "outgoing.sharedTopic !== undefined && refusal !== undefined",
    tests: [outgoing]
  },
  {
    rule: "C13",
    what: "a topic of an instance that the broker refuses is tried with each reply (MQTT)",
    file: "src/adapters/mqtt/MqttOutgoing.ts",
    find: "if (isRefused) ownAddresses.refused(service)",
    replace: "",
    tests: [outgoing]
  },
  {
    rule: "C12",
    what: "an instance says in the name of its service to anybody that it has a reply (NATS)",
    file: "src/adapters/nats/NatsOwnReplies.ts",
    find: " && isInbox(message)",
    replace: "",
    tests: ["test/adapters/nats/permissions.test.ts"]
  }
]
