/**
 * `docs/mosquitto.conf` as it stands, but for its folders and its port: services prove by certificates who they are. Needs
 * Mosquitto and openssl; without them there are no such tests.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Logger, Queue, Redacted, Stream } from "effect"
import { Broker } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready, until } from "../../fixtures/mqtt.ts"
import * as RawMqtt from "../../fixtures/rawMqtt.ts"

const docs = (file: string) => fileURLToPath(new URL(`../../../docs/${file}`, import.meta.url))

/** A folder with an authority, and certificates by it for the broker and the services. */
const certificates = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "certificates-"))
    const openssl = (...args: ReadonlyArray<string>) =>
      execFileSync(Mosquitto.openssl ?? "openssl", [...args], { cwd: folder, stdio: "ignore" })
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", ...key, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem", "-days", "1")
    writeFileSync(join(folder, "address"), "subjectAltName=IP:127.0.0.1,DNS:broker.example\n")
    for (const name of ["broker", "orders", "stock", "mallory"]) {
      openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`)
      const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"]
      openssl("x509", "-req", "-in", `${name}.csr`, ...by, "-extfile", "address", "-out", `${name}.pem`)
    }
    return folder
  }),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

/** With passwords instead of certificates of the services, as the page says, where there are users. */
const server = (certificates: string, users: Readonly<Record<string, string>> = {}) =>
  Mosquitto.started({
    users,
    config: (port, folder) => {
      const config = readFileSync(docs("mosquitto.conf"), "utf8")
        .replace("listener 8883", `listener ${port} 127.0.0.1`)
        .replaceAll("/etc/mosquitto/certs", certificates)
        .replace("/etc/mosquitto/mosquitto.acl", docs("mosquitto.acl"))
        .replace("/var/lib/mosquitto", folder)
      return Object.keys(users).length === 0
        ? config
        : config
            .replace("require_certificate true", `password_file ${folder}/passwords`)
            .replace("use_identity_as_username true", "")
    }
  })

if (Mosquitto.binary !== undefined && Mosquitto.openssl !== undefined) {
  describe("docs/mosquitto.conf", () => {
    it.live("C12 services with a certificate publish in their own name; a client without one cannot connect", () =>
      Effect.gen(function* () {
        const folder = yield* certificates
        const { port } = yield* server(folder)
        const url = `mqtts://127.0.0.1:${port}`
        const read = (file: string) => readFileSync(join(folder, file), "utf8")
        const tls = (name: string) => ({
          ca: read("ca.pem"),
          certificate: read(`${name}.pem`),
          key: Redacted.make(read(`${name}.key`))
        })
        const orders = yield* Layer.build(MqttBroker.layer({ url, clientId: "orders-1", tls: tls("orders") }))
        const stock = yield* Layer.build(MqttBroker.layerConfig).pipe(
          Effect.provide(
            ConfigProvider.layer(
              ConfigProvider.fromUnknown({
                SAGA_MQTT_URL: url,
                SAGA_MQTT_CLIENT_ID: "stock-1",
                SAGA_MQTT_CA_FILE: join(folder, "ca.pem"),
                SAGA_MQTT_CERTIFICATE_FILE: join(folder, "stock.pem"),
                SAGA_MQTT_KEY_FILE: join(folder, "stock.key")
              })
            )
          )
        )
        const arrived = yield* Queue.unbounded<Broker.Delivery>()
        yield* Context.get(stock, Broker.Broker)
          .subscribe({ service: "stock", kinds: ["tx"] })
          .pipe(
            Stream.runForEach((delivery) => Queue.offer(arrived, delivery)),
            Effect.forkScoped({ startImmediately: true })
          )
        yield* ready(Context.get(stock, MqttBroker.MqttConnections))

        const { ca, certificate, key } = tls("mallory")
        const mallory = yield* RawMqtt.connect(url, { ca, cert: certificate, key: Redacted.value(key) })
        assert.strictEqual(yield* mallory.publish("saga/v1/stock/tx/orders", "forged"), 0x87)
        yield* Context.get(orders, Broker.Broker).publish({
          address: { to: "stock", kind: "tx", from: "orders" },
          body: "true"
        })
        assert.strictEqual((yield* Queue.take(arrived)).body, "true")

        // Without a certificate, or with one of another authority in mind, there is no connection.
        const reasons: Array<string> = []
        const logger = Logger.make(({ message }) => void reasons.push(JSON.stringify(message)))
        const refused = (tls: MqttBroker.MqttOptions["tls"]) =>
          Effect.gen(function* () {
            reasons.length = 0
            const services = yield* Layer.build(MqttBroker.layer({ url, ...(tls !== undefined && { tls }) }))
            yield* until(Effect.sync(() => reasons.some((it) => it.includes("No connection"))))
            const list = yield* Context.get(services, MqttBroker.MqttConnections).list
            assert.deepStrictEqual(
              list.map(({ ready }) => ready),
              [false]
            )
            assert.notInclude(reasons.join(), "PRIVATE KEY")
          }).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
        yield* refused({ ca: read("ca.pem") })
        yield* refused({ ...tls("orders"), ca: read("mallory.pem") })
        yield* refused(undefined)
      }).pipe(Effect.provide(Logger.layer([])))
    )
  })

  describe("docs/mosquitto.conf with passwords", () => {
    it.live("C12 services with a password publish in their own name, over TLS", () =>
      Effect.gen(function* () {
        const folder = yield* certificates
        const { port } = yield* server(folder, { orders: "o-secret", mallory: "m-secret" })
        const url = `mqtts://127.0.0.1:${port}`
        const ca = readFileSync(join(folder, "ca.pem"), "utf8")
        const services = yield* Layer.build(
          MqttBroker.layer({ url, username: "orders", password: Redacted.make("o-secret"), tls: { ca } })
        )
        yield* ready(Context.get(services, MqttBroker.MqttConnections))
        const mallory = yield* RawMqtt.connect(url, { ca, username: "mallory", password: "m-secret" })
        assert.strictEqual(yield* mallory.publish("saga/v1/stock/tx/orders", "forged"), 0x87)
        const stranger = RawMqtt.connect(url, { ca, reconnectPeriod: 0 })
        assert.strictEqual((yield* Effect.exit(stranger))._tag, "Failure")
      })
    )
  })

  describe("web sockets", () => {
    const reached = (options: MqttBroker.MqttOptions) =>
      Effect.gen(function* () {
        const services = yield* Layer.build(MqttBroker.layer(options))
        yield* ready(Context.get(services, MqttBroker.MqttConnections))
      }).pipe(Effect.scoped)

    /** The path after the host in the address, and the folder of the certificates. */
    const listening = (lines: (folder: string) => ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const folder = yield* certificates
        const port = yield* Mosquitto.freePort
        const sockets = [`listener ${port}`, "protocol websockets", ...lines(folder), "allow_anonymous true"]
        // The broker needs a listener for TCP as well.
        yield* Mosquitto.started({ config: (port) => [`listener ${port} 127.0.0.1`, ...sockets].join("\n") })
        return { folder, at: `:${port}/mqtt` }
      })

    it.live("web sockets reach a broker by its address, also of IPv6", () =>
      Effect.gen(function* () {
        const { at } = yield* listening(() => [])
        yield* reached({ url: `ws://127.0.0.1${at}` })
        yield* reached({ url: `ws://[::1]${at}` })
      }).pipe(Effect.provide(Logger.layer([])))
    )

    it.live("C12 web sockets expect the configured server name in the certificate of the broker", () =>
      Effect.gen(function* () {
        const { at, folder } = yield* listening((folder) => [
          `certfile ${folder}/broker.pem`,
          `keyfile ${folder}/broker.key`
        ])
        const url = `wss://localhost${at}`
        const ca = readFileSync(join(folder, "ca.pem"), "utf8")
        yield* reached({ url, tls: { ca, servername: "broker.example" } })
        const said: Array<string> = []
        const logger = Logger.make(({ message }) => void said.push(JSON.stringify(message)))
        yield* Layer.build(MqttBroker.layer({ url, tls: { ca, servername: "broker.elsewhere" } })).pipe(
          Effect.andThen(until(Effect.sync(() => said.some((it) => it.includes("No connection"))))),
          Effect.scoped,
          Effect.provide(Logger.layer([logger]))
        )
      }).pipe(Effect.provide(Logger.layer([])))
    )
  })
}
