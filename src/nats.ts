/** Messages over NATS JetStream. Imports `@nats-io/transport-node` and `@nats-io/jetstream`, which nobody else needs. */
export * as NatsBroker from "./adapters/nats/NatsBroker.ts"
