/** The broker suite over MQTT: 3.1.1 on aedes in the process, 5 on the server that `SAGA_TEST_MQTT_URL` names. */

import { MqttBroker } from "effect-saga/mqtt"
import { BrokerSuite } from "effect-saga/testing"
import * as Mqtt from "../../fixtures/mqtt.ts"

const aedes = Mqtt.settling(Mqtt.aedes)

// With MQTT 3.1.1 there is nothing that several subscribers could share.
BrokerSuite.suite("aedes, MQTT 3.1.1", aedes.layer, {
  parts: ["core", "recovery"],
  settle: aedes.settle,
  excludeTestServices: true
})

if (Mqtt.url !== undefined) {
  const server = Mqtt.settling(MqttBroker.layer({ url: Mqtt.url }))
  BrokerSuite.suite("MQTT 5", server.layer, { settle: server.settle, excludeTestServices: true })
}
