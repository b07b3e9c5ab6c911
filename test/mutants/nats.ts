/** What the adapter of NATS must do for SPEC C13. Its tests need the program `nats-server`. */
import type { Mutant } from "./Mutant.ts"

const faults = "test/adapters/nats/faults.test.ts"

export const nats: ReadonlyArray<Mutant> = [
  {
    rule: "C13",
    what: "an instance on NATS asks for as many messages again as it has",
    file: "src/adapters/nats/NatsIncoming.ts",
    find: "let room = most - held.size",
    replace: "let room = most",
    tests: [faults]
  },
  {
    rule: "C13",
    what: "a message on NATS that takes long goes to another instance too",
    file: "src/adapters/nats/NatsIncoming.ts",
    find: "for (const message of held) message.respond(inProgress)",
    replace: "",
    tests: [faults]
  },
  {
    rule: "C13",
    what: "a full stream on NATS drops the oldest message",
    file: "src/adapters/nats/NatsStreams.ts",
    find: "discard: DiscardPolicy.New,",
    replace: "discard: DiscardPolicy.Old,",
    tests: [faults]
  }
]
