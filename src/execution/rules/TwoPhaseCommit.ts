/**
 * The phases of the two-phase commit: all services that take part are asked for their vote, and then told the decision
 * until they acknowledge it (SPEC C5). Answers are facts. A question is sent again until it is answered.
 */
import { collect, type Frame, started } from "./StepTree.ts"

export type Question = "reserve" | "commit" | "reject"

/** One service in a phase, and whether it has answered. */
export interface Ask {
  readonly service: string
  /** When the service was first asked, in milliseconds since the epoch; the times of later messages follow from it. */
  readonly at: number
  /** `new`: the write that must come before the first message is not stored yet. */
  readonly status: "new" | "asked" | "answered"
  /** Why a person should look at the service. It is still asked, but seldom. */
  readonly stalled: string | undefined
  /** A person has looked at the stalled service: it is not listed any more. */
  readonly seen: boolean
}

export interface Phase {
  readonly op: Question
  readonly at: number
  readonly asks: ReadonlyArray<Ask>
}

const ask = (service: string, at: number): Ask => ({ service, at, status: "new", stalled: undefined, seen: false })

export const begin = (op: Question, services: ReadonlyArray<string>, at: number): Phase => ({
  op,
  at,
  asks: services.map((service) => ask(service, at))
})

/** Services that are enrolled late are asked as well. */
export const join = (self: Phase, services: ReadonlyArray<string>, at: number): Phase => {
  const late = services.filter((name) => !self.asks.some(({ service }) => service === name))
  return { ...self, asks: [...self.asks, ...late.map((service) => ask(service, at))] }
}

/** Every service has answered. */
export const isReached = (self: Phase | undefined): boolean =>
  self === undefined || self.asks.every(({ status }) => status === "answered")

/** Services whose answer is missing, sorted. */
export const pending = (self: Phase | undefined): ReadonlyArray<string> =>
  (self?.asks ?? []).flatMap(({ service, status }) => (status === "answered" ? [] : [service])).sort()

/** The same phase where the service is not in it, or has answered. */
const change = (self: Phase, service: string, to: (ask: Ask) => Ask): Phase => {
  const asks = self.asks.map((ask) => (ask.service === service && ask.status !== "answered" ? to(ask) : ask))
  return asks.every((ask, i) => ask === self.asks[i]) ? self : { ...self, asks }
}

export const answered = (self: Phase, service: string): Phase =>
  change(self, service, (ask) => ({ ...ask, status: "answered", stalled: undefined }))

export const stalled = (self: Phase, service: string, reason: string, at: number): Phase =>
  change(self, service, (ask) => (ask.stalled === undefined ? { ...ask, at, stalled: reason } : ask))

/** Asks a service as if it were the first time. */
export const again = (self: Phase, service: string, at: number): Phase =>
  change(self, service, (ask) => ({ ...ask, at, status: "new", stalled: undefined, seen: false }))

/**
 * A person has looked at a stalled service. Its commit is acknowledged by nobody else: until then the decision is kept, and
 * the service is asked (SPEC C14, I2). A reject needs no acknowledgement: a service that asks about a forgotten execution is
 * told to reject.
 */
export const resolved = (self: Phase, service: string): Phase =>
  self.op === "commit" ? change(self, service, (ask) => ({ ...ask, seen: true })) : answered(self, service)

/** The phase after the write: its new services are asked now. */
export const stored = (self: Phase): Phase =>
  self.asks.some(({ status }) => status === "new")
    ? { ...self, asks: self.asks.map((ask) => (ask.status === "new" ? { ...ask, status: "asked" } : ask)) }
    : self

/** The places of stalled services for people and `retryParked`: `payments:commit`. No step has such a path. */
export const stalledAt = (self: Phase | undefined): ReadonlyArray<string> =>
  self === undefined
    ? []
    : self.asks.flatMap(({ seen, service, stalled }) =>
        stalled === undefined || seen ? [] : [`${service}:${self.op}`]
      )

/** The service that is stalled at a place. */
export const serviceAt = (self: Phase | undefined, place: string): string | undefined =>
  stalledAt(self).includes(place) ? place.slice(0, place.lastIndexOf(":")) : undefined

/** The paths of the steps that a service has answered 200, in the order they ran: what its vote is about. */
export const effects = ({ root }: Pick<Coordinated, "root">, service: string): ReadonlyArray<string> =>
  collect(root, started, (paths, { effect, path, request }) => {
    if (request?.message.service === service && effect === "exists") paths.push(path)
  })

/** The content of a question to services. Every copy of a message has the same bytes. */
export interface Transaction {
  readonly uuid: string
  /** The own service, which decides. */
  readonly coordinator: string
  /** The services that are asked now: each once, sorted. */
  readonly services: ReadonlyArray<string>
  /** For each of them, the paths of its steps that have an effect. */
  readonly effects: Readonly<Record<string, ReadonlyArray<string>>>
  /** Milliseconds since the epoch: the latest of its requests. */
  readonly notAfter: number
  /** The W3C context of the start of the execution. Absent: its messages carry none. */
  readonly trace?: string
}

/** The part of an execution that questions need. */
interface Coordinated {
  readonly uuid: string
  readonly start: { readonly service: string; readonly trace?: string; readonly tracesEnd?: true } | undefined
  readonly root: Frame
  readonly notAfter: number
}

export const transaction = (self: Coordinated, services: ReadonlyArray<string>): Transaction => ({
  uuid: self.uuid,
  // An execution that asks others was started, and so knows its own service.
  coordinator: self.start!.service,
  services: [...services].sort(),
  effects: Object.fromEntries(services.map((service) => [service, effects(self, service)])),
  notAfter: self.notAfter,
  ...(self.start?.tracesEnd === true && self.start.trace !== undefined && { trace: self.start.trace })
})
