/** The settings and the counters of a service of the order business: the same for the library and for the business by hand. */
import { Socket } from "node:net"
import { Context, type Effect } from "effect"
import type { Order } from "../../examples/order/contracts.ts"

export const services = ["orders", "payments", "shipping"] as const
export type Service = (typeof services)[number]

export type Outcome = "committed" | "undone" | "parked"

/** The one argument of a process. */
export interface Start {
  /** How it is written: `library`, `hand`, or with an engine of `bench/peers`. */
  readonly by: string
  readonly twoPhase: boolean
  readonly service: Service
  /** The address of Postgres, and the schema of the service there. */
  readonly pg: string
  readonly schema: string
  /** The address of the broker, and what stands before every topic. */
  readonly url: string
  readonly namespace: string
}

/** The orchestrator of either kind. The same order may be placed again, in whatever process it began. */
export class Shop extends Context.Service<
  Shop,
  { readonly place: (order: Order) => Effect.Effect<Outcome, unknown> }
>()("bench/Shop") {}

/** Messages that this process has given to the broker, again or for the first time. */
export const messages = { sent: 0 }

/** Statements that this process has sent to Postgres, `begin` and `commit` among them. */
export const statements = { sent: 0 }

/** Counts in what is written to the server: each message of the protocol is a letter, and a length without the letter. */
export const countStatements = (pg: string): void => {
  const port = Number(new URL(pg).port || 5432)
  const write: (...args: Array<any>) => boolean = Socket.prototype.write
  const counting = function (this: Socket, ...args: Array<any>): boolean {
    const [chunk] = args
    if (this.remotePort === port && chunk instanceof Uint8Array) statements.sent += executesIn(chunk)
    return write.apply(this, args)
  }
  Object.assign(Socket.prototype, { write: counting })
}

const isExecute = (letter: number): boolean => letter === 0x45 || letter === 0x51

const executesIn = (chunk: Uint8Array): number => {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  let count = 0
  // A message without a letter begins a connection.
  for (let at = 0; at + 5 <= chunk.length; at += 1 + view.getUint32(at + 1)) {
    if (view.getUint8(at) === 0) break
    if (isExecute(view.getUint8(at))) count++
  }
  return count
}
