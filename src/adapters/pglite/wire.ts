/** The part of the Postgres wire protocol that `PgliteServer` needs: it passes most messages on unread. */
import { Buffer } from "node:buffer"

/** The first byte of a message. */
export const type = {
  // From a client
  query: 0x51,
  parse: 0x50,
  sync: 0x53,
  flush: 0x48,
  copyDone: 0x63,
  copyFail: 0x66,
  terminate: 0x58,
  // From a server
  notification: 0x41,
  readyForQuery: 0x5a
} as const

/** Codes in the first message of a connection, which has no type. */
export const startup = { cancel: 80877102, ssl: 80877103 } as const

/** Whether a client may wait for an answer after this message. */
export const endsBatch = (it: number): boolean =>
  it === type.sync || it === type.query || it === type.flush || it === type.copyDone || it === type.copyFail

/** Whether the answer to this message ends with `ReadyForQuery`. */
export const endsCycle = (it: number): boolean => it === type.sync || it === type.query

const message = (it: string, ...parts: ReadonlyArray<string | Uint8Array>): Buffer => {
  const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(`${part}\0`) : part)))
  const head = Buffer.alloc(5)
  head.write(it, "latin1")
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const int32 = (...values: ReadonlyArray<number>): Buffer => {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, i) => {
    bytes.writeInt32BE(value, i * 4)
  })
  return bytes
}

export const query = (sql: string): Buffer => message("Q", sql)

export const sync: Buffer = message("S")

export const closeStatement = (name: string): Buffer => message("C", Buffer.from("S"), name)

/** The status in `ReadyForQuery` outside of a transaction. */
export const idle = 0x49

export const ready: Buffer = message("Z", Buffer.from([idle]))

export const error = (code: string, text: string): Buffer =>
  message("E", "SERROR", "VERROR", `C${code}`, `M${text}`, Buffer.alloc(1))

const parameters = {
  server_version: "18.0",
  server_encoding: "UTF8",
  client_encoding: "UTF8",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  TimeZone: "UTC",
  integer_datetimes: "on",
  standard_conforming_strings: "on"
}

/** The answer to a new connection: no password is needed, the parameters, the key for cancelling. */
export const greeting = (pid: number, secret: number): Buffer =>
  Buffer.concat([
    message("R", int32(0)),
    ...Object.entries(parameters).map(([name, value]) => message("S", name, value)),
    message("K", int32(pid, secret)),
    ready
  ])

/** The SQL in a `Parse` or `Query`, and the name of the prepared statement: empty if it has none. */
export const statementOf = (bytes: Buffer): { readonly name: string; readonly sql: string } | undefined => {
  if (bytes[0] !== type.parse && bytes[0] !== type.query) return undefined
  const nul = bytes.indexOf(0, 5)
  const first = bytes.toString("utf8", 5, nul)
  if (bytes[0] === type.query) return { name: "", sql: first }
  return { name: first, sql: bytes.toString("utf8", nul + 1, bytes.indexOf(0, nul + 1)) }
}
