/** Messages over HTTP. Imports `effect/http`, which nobody else needs. */
export * as HttpBroker from "./adapters/http/HttpBroker.ts"
