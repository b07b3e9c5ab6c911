/** An MQTT broker in the process, for demos and tests. Imports `aedes`, which nobody else needs. */
export * as EmbeddedBroker from "./adapters/aedes/EmbeddedBroker.ts"
