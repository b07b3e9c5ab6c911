/**
 * Makes an embedded PGlite look like a server with several connections, for the `stream` of `PgClient`. The connections share
 * one session: a connection with an open transaction has it alone, and the others wait in line. Messages go to PGlite in
 * batches that end where a client waits for an answer, so that the messages of two clients never mix.
 */
import { Buffer } from "node:buffer"
import { randomInt } from "node:crypto"
import { Duplex } from "node:stream"
import * as Wire from "./wire.ts"

export interface PgliteServerOptions {
  /** Runs a batch and gives the answer, synchronously: a PGlite has no threads. */
  readonly execute: (batch: Uint8Array) => Uint8Array
  /** How long a connection waits for the transaction of another one. Then its statement fails with a lock timeout. */
  readonly lockTimeoutMillis: number
}

interface Batch {
  readonly bytes: Buffer
  /** The answer ends with `ReadyForQuery`. */
  readonly last: boolean
}

export interface PgliteServer {
  readonly connect: () => Duplex
  /** Ends all connections, and rolls back what they have left open. */
  readonly close: () => void
}

export const make = (options: PgliteServerOptions): PgliteServer => {
  const server = new Server(options)
  return { connect: () => new Session(server), close: () => server.close() }
}

class Server {
  readonly options: PgliteServerOptions
  readonly sessions = new Map<number, Session>()
  /** The listening sessions of each channel: an `UNLISTEN` of one session would end it for all in PGlite. */
  readonly channels = new Map<string, Set<Session>>()
  private readonly line: Array<Session> = []
  private owner: Session | undefined
  private pids = 0
  private scheduled = false
  closed = false

  constructor(options: PgliteServerOptions) {
    this.options = options
  }

  join(session: Session): number {
    this.sessions.set(++this.pids, session)
    return this.pids
  }

  isOwner(session: Session): boolean {
    return this.owner === session
  }

  /** Puts the session into the line if it has a batch to run. */
  want(session: Session): void {
    if (session.pending.length === 0) this.leaveLine(session)
    else if (this.owner !== session && !this.line.includes(session)) this.line.push(session)
    this.schedule()
  }

  /** The session has no open transaction, so the next session gets its turn. */
  free(session: Session): void {
    if (this.owner === session) this.owner = undefined
    this.want(session)
  }

  leaveLine(session: Session): boolean {
    const at = this.line.indexOf(session)
    if (at >= 0) this.line.splice(at, 1)
    return at >= 0
  }

  /** Runs one batch in each turn of the event loop, as nothing else runs during a batch. */
  private schedule(): void {
    if (this.scheduled || this.closed) return
    if (this.owner !== undefined) for (const session of this.line) session.startWaiting()
    const next = this.owner ?? this.line[0]
    if (next === undefined || next.pending.length === 0) return
    this.scheduled = true
    setImmediate(() => {
      this.scheduled = false
      this.turn()
      this.schedule()
    })
  }

  private turn(): void {
    if (this.closed) return
    this.owner ??= this.line.shift()
    this.owner?.run()
  }

  close(): void {
    for (const session of this.sessions.values()) {
      session.leave()
      session.destroy()
    }
    while (!this.closed && (this.owner !== undefined || this.line.length > 0)) this.turn()
    this.closed = true
  }

  /** A PGlite that throws is broken (its memory is lost), so all sessions end. */
  fail(cause: unknown): void {
    this.closed = true
    for (const session of this.sessions.values()) session.destroy(new Error("PGlite failed", { cause }))
  }

  execute(bytes: Uint8Array): Buffer {
    const out = this.options.execute(bytes)
    return Buffer.from(out.buffer, out.byteOffset, out.byteLength)
  }
}

const unlisten = /^\s*unlisten\s+(\*|\S+)\s*;?\s*$/i
const listen = /^\s*listen\s+(\S+?)\s*;?\s*$/i

class Session extends Duplex {
  readonly pending: Array<Batch> = []
  ended = false
  private readonly server: Server
  private readonly pid: number
  private readonly secret = randomInt(2 ** 31 - 1)
  private readonly statements = new Set<string>()
  private buffer: Buffer = Buffer.alloc(0)
  private parts: Array<Buffer> = []
  private started = false
  /** After an error, a client's messages are skipped until it says `Sync`. */
  private skipping = false
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(server: Server) {
    super({ allowHalfOpen: false })
    this.server = server
    this.pid = server.join(this)
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.buffer = this.buffer.length === 0 ? chunk : Buffer.concat([this.buffer, chunk])
    while (!this.ended && this.readMessage()) {}
    done()
  }

  override _final(done: () => void): void {
    if (!this.ended) this.push(null)
    this.leave()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.leave()
    done(error)
  }

  /** Takes one message off the buffer; false if there is none. */
  private readMessage(): boolean {
    const head = this.started ? 1 : 0
    if (this.buffer.length < head + 4) return false
    const length = head + this.buffer.readInt32BE(head)
    if (this.buffer.length < length) return false
    const message = this.buffer.subarray(0, length)
    this.buffer = this.buffer.subarray(length)
    if (!this.started) this.begin(message)
    else this.receive(message)
    return true
  }

  private begin(message: Buffer): void {
    const code = message.readInt32BE(4)
    if (code === Wire.startup.ssl) {
      this.push("N")
    } else if (code === Wire.startup.cancel) {
      this.server.sessions.get(message.readInt32BE(8))?.cancel(message.readInt32BE(12))
      this.destroy()
    } else if (this.server.closed) {
      this.destroy(new Error("PGlite is closed"))
    } else {
      this.started = true
      this.push(Wire.greeting(this.pid, this.secret))
    }
  }

  private receive(message: Buffer): void {
    const it = message[0] ?? 0
    if (it === Wire.type.terminate) {
      this.leave()
      this.push(null)
      return
    }
    this.parts.push(message)
    if (!Wire.endsBatch(it)) return
    this.pending.push({ bytes: Buffer.concat(this.parts), last: Wire.endsCycle(it) })
    this.parts = []
    this.server.want(this)
  }

  /** Runs the next batch. The session stays the owner until an answer ends outside of a transaction. */
  run(): void {
    this.stopWaiting()
    const batch = this.pending.shift()
    if (batch === undefined) return this.server.free(this)
    if (this.skipping) return this.skip(batch)
    let answer: Buffer
    // PGlite throws only where WebAssembly fails; errors of SQL are in the answer.
    try {
      answer = this.server.execute(batch.bytes)
    } catch (cause) {
      return this.server.fail(cause)
    }
    this.note(batch.bytes)
    const own: Array<Buffer> = []
    let idle = false
    for (let at = 0; at < answer.length; ) {
      const length = 1 + answer.readInt32BE(at + 1)
      const message = answer.subarray(at, at + length)
      if (message[0] === Wire.type.notification)
        for (const session of this.server.sessions.values()) session.tell(message)
      else own.push(message)
      if (message[0] === Wire.type.readyForQuery) idle = message[5] === Wire.idle
      at += length
    }
    if (idle) this.server.free(this)
    this.tell(own.length === 1 && own[0] !== undefined ? own[0] : Buffer.concat(own))
  }

  private tell(bytes: Buffer): void {
    if (this.started && !this.ended && bytes.length > 0) this.push(bytes)
  }

  /** Starts the lock timeout. A session that has ended waits without one to clean up. */
  startWaiting(): void {
    if (this.ended) return
    this.timer ??= setTimeout(
      () => this.refuse("55P03", "canceling statement due to lock timeout"),
      this.server.options.lockTimeoutMillis
    )
  }

  private stopWaiting(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  /** Cancels a waiting batch. A running one cannot be cancelled. */
  private cancel(secret: number): void {
    if (secret === this.secret) this.refuse("57014", "canceling statement due to user request")
  }

  private refuse(code: string, text: string): void {
    if (!this.server.leaveLine(this)) return
    this.stopWaiting()
    const batch = this.pending.shift()
    if (batch === undefined) return
    this.push(Wire.error(code, text))
    this.skip(batch)
  }

  private skip(batch: Batch): void {
    this.skipping = !batch.last
    if (batch.last) this.push(Wire.ready)
    this.server.free(this)
  }

  /** Remembers prepared statements and channels, which would outlive the connection in the shared session. */
  private note(batch: Buffer): void {
    for (let at = 0; at < batch.length; at += 1 + batch.readInt32BE(at + 1)) {
      const statement = Wire.statementOf(batch.subarray(at))
      if (statement === undefined) continue
      if (statement.name !== "") this.statements.add(statement.name)
      const heard = listen.exec(statement.sql)?.[1]
      if (heard !== undefined) this.listenersOf(heard).add(this)
      const unheard = unlisten.exec(statement.sql)?.[1]
      if (unheard !== undefined) this.stopListening(unheard)
    }
  }

  private listenersOf(channel: string): Set<Session> {
    const known = this.server.channels.get(channel) ?? new Set()
    this.server.channels.set(channel, known)
    return known
  }

  /** PGlite has stopped listening for all sessions: starts again for the others. */
  private stopListening(channel: string): void {
    for (const [name, sessions] of this.server.channels) {
      if (channel !== "*" && channel !== name) continue
      sessions.delete(this)
      if (sessions.size === 0) this.server.channels.delete(name)
      else this.server.execute(Wire.query(`LISTEN ${name}`))
    }
  }

  /** Ends the session: rolls back its transaction and closes its prepared statements. */
  leave(): void {
    if (this.ended) return
    this.ended = true
    this.stopWaiting()
    this.server.sessions.delete(this.pid)
    for (const [name, sessions] of this.server.channels)
      if (sessions.delete(this) && sessions.size === 0) this.server.channels.delete(name)
    this.skipping = false
    this.pending.length = 0
    const owner = this.server.isOwner(this)
    if (owner || this.statements.size > 0) {
      const farewell = [
        ...(owner ? [Wire.sync, Wire.query("ROLLBACK")] : []),
        ...Array.from(this.statements, Wire.closeStatement),
        Wire.sync
      ]
      this.pending.push({ bytes: Buffer.concat(farewell), last: true })
    }
    this.server.want(this)
  }
}
