/** Messages over MQTT. Imports `mqtt`, which nobody else needs. */
export * as MqttBroker from "./adapters/mqtt/MqttBroker.ts"
