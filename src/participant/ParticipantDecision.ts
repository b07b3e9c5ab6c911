/**
 * What a participant does with a message: SPEC C6's table as a pure function of what is recorded, the message and the
 * time. It answers by what is known, never by what is likely: a message that was answered gets the same answer, and one
 * that must not run is recorded as such before it can come.
 */

import type { Barrier, Records, Scope, Transaction, Unit } from "../ports/ParticipantStore.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import { canonical, type Envelope, messageId, type ReplyStatus } from "../wire/Envelope.ts"
import type { Json } from "../wire/JsonLimits.ts"
import type { ParticipantConfig } from "./ParticipantConfig.ts"

export interface Incoming {
  readonly envelope: Envelope
  /** Position in the topic of a command. */
  readonly command: string | undefined
  /** SHA-256 of the message and its command. */
  readonly request: string
}

export const incoming = (envelope: Envelope, command: string | undefined): Incoming => ({
  envelope,
  command,
  request: CanonicalJson.sha256OfText(`[${JSON.stringify(command ?? null)},${canonical(envelope)}]`)
})

export interface Answer {
  readonly status: ReplyStatus
  readonly content?: Json
  /** Services that took part besides the one that answers. */
  readonly relatedServices?: ReadonlyArray<string>
}

/** Why a message is put away for people to look at. */
export type Fault =
  | "MessageMalformed"
  | "SenderMismatch"
  | "MessageIdReused"
  | "TransactionMismatch"
  | "ProtocolViolation"
  | "HeuristicOutcome"
  | "Purged"

/** `discard`: what the transaction has staged is thrown away first, in the same unit of work. */
export type Decision =
  /** It changes nothing and gets no answer. */
  | { readonly _tag: "Ignore" }
  | { readonly _tag: "PutAway"; readonly fault: Fault; readonly answer?: Answer }
  /** It was answered before: the same again. */
  | { readonly _tag: "Repeat"; readonly reply: string }
  /** Nothing is recorded: it is not final, or nothing can run any more. */
  | { readonly _tag: "Answer"; readonly answer: Answer }
  /** Without an answer nobody waits for one; `final` records it under the message's id. */
  | {
      readonly _tag: "Record"
      readonly records: Records
      readonly discard: boolean
      readonly answer?: Answer
      readonly final: boolean
    }
  | { readonly _tag: "Execute"; readonly transactions: ReadonlyArray<Transaction>; readonly staging: boolean }
  | {
      readonly _tag: "Compensate"
      readonly transactions: ReadonlyArray<Transaction>
      readonly executed: Barrier
      readonly discard: boolean
    }
  | { readonly _tag: "Reserve"; readonly transaction: Transaction }
  | { readonly _tag: "Commit"; readonly transaction: Transaction; readonly answer?: Answer }

export type Known = Pick<Unit, "transactions" | "barriers">

// ---- what a message is about -----------------------------------------------------------------------------------

const executeId = ({ path, saga }: Envelope): string => messageId(saga, path ?? "", "execute")

const isCommand = ({ op }: Envelope): boolean => op === "execute" || op === "failure" || op === "probe"

/** The paths that this service has answered 200, as the coordinator has seen it. */
const reservedPaths = ({ content }: Envelope): ReadonlyArray<string> | undefined =>
  Array.isArray(content) && content.every((path): path is string => typeof path === "string") ? content : undefined

/** Ids follow from what a message is about (SPEC C3): another one could stand in the way of another message. */
const isWellFormed = (envelope: Envelope): boolean => {
  const { content, id, inReplyTo, op, path, saga, service } = envelope
  switch (op) {
    case "execute":
    case "failure":
    case "probe":
      return path !== undefined && id === messageId(saga, path, op)
    case "reserve":
      return id === messageId(saga, service, op) && reservedPaths(envelope) !== undefined
    case "commit":
    case "reject":
      return id === messageId(saga, service, op)
    case "reply":
      return (
        inReplyTo === messageId(saga, service, "status") &&
        (content === "commit" || content === "reject" || content === "undecided")
      )
    case "status":
      return false
  }
}

const unique = (texts: ReadonlyArray<string>): ReadonlyArray<string> => (texts.length < 2 ? texts : [...new Set(texts)])

/** What has to be held and read to decide about a message. Undefined: there is nothing to decide about. */
export const scopeOf = (service: string, envelope: Envelope): Scope | undefined => {
  if (!isWellFormed(envelope)) return undefined
  const transactions = isCommand(envelope) ? unique(envelope.transactions) : [envelope.saga]
  return { service, transactions, messages: unique(messagesOf(envelope)) }
}

/** Those whose records say what to do. */
const messagesOf = (envelope: Envelope): ReadonlyArray<string> => {
  const { id, op, saga } = envelope
  switch (op) {
    case "probe":
      return [executeId(envelope)]
    case "failure":
      return [id, executeId(envelope)]
    case "reserve":
      return [id, ...(reservedPaths(envelope) ?? []).map((path) => messageId(saga, path, "execute"))]
    case "reply":
      return []
    default:
      return [id]
  }
}

/** The transaction that the records of a command belong to: that of its own execution, else the innermost. */
export const belongsTo = ({ saga, transactions }: Envelope): string | undefined =>
  transactions.includes(saga) ? saga : transactions.at(-1)

// ---- records ---------------------------------------------------------------------------------------------------

const latest = (known: Transaction | undefined, { notAfter }: Envelope): number =>
  Math.max(known?.notAfter ?? notAfter, notAfter)

/** A transaction as it stands after a message. */
const becomes = (
  known: Transaction | undefined,
  envelope: Envelope,
  status: Transaction["status"],
  now: number
): Transaction => ({
  uuid: envelope.saga,
  coordinator: envelope.coordinator,
  status,
  notAfter: latest(known, envelope),
  heuristic: known?.heuristic ?? false,
  updatedAt: now
})

/** Only the coordinator and the latest `notAfter` may be new. */
const touched = (known: Transaction, envelope: Envelope): Transaction => ({
  ...known,
  coordinator: known.coordinator ?? (known.uuid === envelope.saga ? envelope.coordinator : undefined),
  notAfter: latest(known, envelope)
})

const barrierOf = (envelope: Envelope, now: number) => ({
  transaction: isCommand(envelope) ? belongsTo(envelope) : envelope.saga,
  coordinator: envelope.coordinator,
  notAfter: envelope.notAfter,
  createdAt: now
})

/** The execute of a path that has not come: if it comes, it runs nothing. */
const nullExecute = (envelope: Envelope, now: number): Barrier => ({
  ...barrierOf(envelope, now),
  id: executeId(envelope),
  request: undefined,
  status: 500,
  reply: undefined,
  effect: "none",
  open: false
})

/** The record of a message that is answered now. */
export const answered = (
  { envelope, request }: Incoming,
  status: ReplyStatus,
  reply: string,
  now: number,
  effect: Barrier["effect"] = "none",
  open = false
): Barrier => ({
  ...barrierOf(envelope, now),
  id: envelope.id,
  request,
  status,
  reply,
  effect,
  open
})

// ---- decisions -------------------------------------------------------------------------------------------------

const ignore: Decision = { _tag: "Ignore" }
const answer = (status: ReplyStatus, content?: Json): Decision => ({
  _tag: "Answer",
  answer: withContent(status, content)
})
const withContent = (status: ReplyStatus, content?: Json): Answer =>
  content === undefined ? { status } : { status, content }

export const refused = (reason: string): Answer => ({ status: 500, content: reason })

const record = (
  given: Answer | undefined,
  records: Partial<Records>,
  { discard = false, final = true }: { readonly discard?: boolean; readonly final?: boolean } = {}
): Decision => ({
  _tag: "Record",
  records: { transactions: records.transactions ?? [], barriers: records.barriers ?? [] },
  discard,
  ...(given !== undefined && { answer: given }),
  final: final && given !== undefined
})

/** The table of SPEC C6: which message, in which status, what happens. */
export const decide = (known: Known, message: Incoming, now: number, settings: ParticipantConfig): Decision => {
  const { envelope, request } = message
  const own = known.transactions.get(envelope.saga)
  const recorded = known.barriers.get(envelope.id)
  const isForeign = ({ coordinator }: { readonly coordinator: string | undefined }): boolean =>
    coordinator !== undefined && coordinator !== envelope.coordinator
  if (own !== undefined && isForeign(own)) return { _tag: "PutAway", fault: "SenderMismatch" }
  for (const barrier of known.barriers.values()) {
    if (isForeign(barrier)) return { _tag: "PutAway", fault: "SenderMismatch" }
  }
  if (recorded !== undefined) {
    // It was recorded as never to run, or it is the message that was answered.
    if (recorded.request === undefined || recorded.reply === undefined) return answer(500, "Refused")
    return recorded.request === request
      ? { _tag: "Repeat", reply: recorded.reply }
      : { _tag: "PutAway", fault: "MessageIdReused" }
  }
  const at: Place = { ...known, message, envelope, own, now, bound: envelope.notAfter + settings.maxSkew, settings }
  switch (envelope.op) {
    case "execute":
      return execute(at)
    case "failure":
      return failure(at)
    case "probe":
      return probe(at)
    case "reserve":
      return reserve(at)
    case "commit":
      return commit(at, { status: 200 })
    case "reject":
      return reject(at)
    case "reply":
      return told(at)
    case "status":
      return { _tag: "PutAway", fault: "MessageMalformed" }
  }
}

interface Place extends Known {
  readonly message: Incoming
  readonly envelope: Envelope
  /** The transaction of the execution itself. */
  readonly own: Transaction | undefined
  readonly now: number
  /** From then on, what is not recorded may have been removed. */
  readonly bound: number
  readonly settings: ParticipantConfig
}

const isLate = ({ bound, now }: Place): boolean => now > bound

/** So late that without a transaction the missing of a record proves nothing. */
const isForgotten = ({ bound, envelope, now, settings }: Place): boolean =>
  envelope.transactions.length === 0 && now > bound + settings.participantRetention

/** It contradicts what is known: changes nothing, and people are told. */
const violation = ({ own }: Place, isAnswered = true): Decision => {
  const fault = own?.heuristic === true ? "HeuristicOutcome" : "ProtocolViolation"
  return { _tag: "PutAway", fault, ...(isAnswered && { answer: refused(fault) }) }
}

const execute = (at: Place): Decision => {
  const { envelope, now, own, transactions } = at
  if (now > envelope.notAfter) {
    if (isForgotten(at)) return { _tag: "PutAway", fault: "Purged" }
    // Another instance, whose clock is behind, must not run it after this answer.
    const isRecorded = !isLate(at) && (joins(at) || envelope.transactions.length === 0)
    const rows = !joins(at)
      ? []
      : [own === undefined ? becomes(own, envelope, "rejected", now) : touched(own, envelope)]
    return isRecorded ? record(refused("Expired"), { transactions: rows }) : answer(500, "Expired")
  }
  const rows = unique(envelope.transactions).flatMap((uuid) => transactions.get(uuid) ?? [])
  if (rows.every(({ status }) => status === "pending")) {
    return { _tag: "Execute", transactions: opened(at, envelope, now), staging: joins(at) }
  }
  // The transaction around it is over: its own, which has no record, is refused with it.
  const unopened = joins(at) && own === undefined ? [becomes(own, envelope, "rejected", now)] : []
  return record(refused("Refused"), { transactions: [...rows.map((row) => touched(row, envelope)), ...unopened] })
}

/** All transactions of a command, open; those that are over stay as they are. */
export const opened = ({ transactions }: Known, envelope: Envelope, now: number): ReadonlyArray<Transaction> =>
  unique(envelope.transactions).map((uuid) => {
    const known = transactions.get(uuid)
    if (known !== undefined) {
      return { ...touched(known, envelope), ...(known.status === "pending" && { updatedAt: now }) }
    }
    // An outer execution has a coordinator of its own, who is not known yet.
    const coordinator = uuid === envelope.saga ? envelope.coordinator : undefined
    return { uuid, coordinator, status: "pending", notAfter: envelope.notAfter, heuristic: false, updatedAt: now }
  })

/** Whether the message belongs to the transaction of its own execution. */
const joins = ({ envelope }: Place): boolean => envelope.transactions.includes(envelope.saga)

/** The end of an open transaction, as part of something else. */
const ended = ({
  envelope,
  now,
  own
}: Place): { readonly rows: ReadonlyArray<Transaction>; readonly discard: boolean } =>
  own === undefined || own.status === "pending" || own.status === "reserved"
    ? { rows: [becomes(own, envelope, "rejected", now)], discard: own !== undefined }
    : { rows: [touched(own, envelope)], discard: false }

const failure = (at: Place): Decision => {
  const { barriers, envelope, now, own } = at
  const executed = barriers.get(executeId(envelope))
  if (executed !== undefined && executed.transaction !== belongsTo(envelope)) {
    return { _tag: "PutAway", fault: "TransactionMismatch" }
  }
  if (executed === undefined && own === undefined && isLate(at)) {
    return isForgotten(at) ? answer(500, "Purged") : answer(200)
  }
  if (own?.status === "committed") return violation(at)
  const { discard, rows } = joins(at) ? ended(at) : { rows: [], discard: false }
  if (executed?.effect === "immediate") return { _tag: "Compensate", transactions: rows, executed, discard }
  const unseen = executed === undefined ? [nullExecute(envelope, now)] : []
  return record({ status: 200 }, { transactions: rows, barriers: unseen }, { discard })
}

const probe = (at: Place): Decision => {
  const { barriers, envelope, now, own } = at
  const executed = barriers.get(executeId(envelope))
  if (executed !== undefined) {
    if (executed.transaction !== belongsTo(envelope)) return { _tag: "PutAway", fault: "TransactionMismatch" }
    return executed.status === 500 || executed.reply === undefined
      ? answer(404)
      : { _tag: "Answer", answer: answerIn(executed.reply, executed.status) }
  }
  if (own === undefined && isLate(at)) return isForgotten(at) ? answer(500, "Purged") : answer(404)
  const rows = !joins(at) ? [] : [own === undefined ? becomes(own, envelope, "rejected", now) : touched(own, envelope)]
  return record({ status: 404 }, { transactions: rows, barriers: [nullExecute(envelope, now)] }, { final: false })
}

/** What a recorded reply says. */
const answerIn = (reply: string, status: ReplyStatus): Answer => {
  const { content, relatedServices }: Envelope = JSON.parse(reply)
  return { status, ...(content !== undefined && { content }), relatedServices }
}

const reserve = (at: Place): Decision => {
  const { barriers, envelope, now, own } = at
  const no = (reason: string): Answer => ({ status: 400, content: reason })
  if (own === undefined) {
    return isLate(at)
      ? { _tag: "Answer", answer: no("Purged") }
      : record(no("Unknown"), { transactions: [becomes(own, envelope, "rejected", now)] })
  }
  switch (own.status) {
    case "pending": {
      const hasEffect = (path: string): boolean => {
        const executed = barriers.get(messageId(envelope.saga, path, "execute"))
        return executed !== undefined && executed.effect !== "none" && executed.transaction === own.uuid
      }
      return (reservedPaths(envelope) ?? []).every(hasEffect)
        ? { _tag: "Reserve", transaction: becomes(own, envelope, "reserved", now) }
        : record(no("EffectMissing"), { transactions: [becomes(own, envelope, "rejected", now)] }, { discard: true })
    }
    case "reserved":
    case "committed":
      return record({ status: 200 }, { transactions: [touched(own, envelope)] })
    case "rejected":
      return record(no("Rejected"), { transactions: [touched(own, envelope)] })
  }
}

const commit = (at: Place, given: Answer | undefined): Decision => {
  const { envelope, now, own } = at
  const isAnswered = given !== undefined
  switch (own?.status) {
    case undefined:
      return isLate(at) ? (isAnswered ? answer(200) : ignore) : violation(at, isAnswered)
    case "pending":
    case "rejected":
      return violation(at, isAnswered)
    case "reserved":
      return {
        _tag: "Commit",
        transaction: becomes(own, envelope, "committed", now),
        ...(isAnswered && { answer: given })
      }
    case "committed":
      return own === undefined || !isAnswered ? ignore : record(given, { transactions: [touched(own, envelope)] })
  }
}

const reject = (at: Place): Decision => {
  if (at.own === undefined && isLate(at)) return answer(200)
  if (at.own?.status === "committed") return violation(at)
  const { discard, rows } = ended(at)
  return record({ status: 200 }, { transactions: rows }, { discard })
}

/** The coordinator's answer to `status`. */
const told = (at: Place): Decision => {
  const { envelope, own } = at
  if (envelope.content === "commit") return commit(at, undefined)
  const isOpen = own?.status === "pending" || own?.status === "reserved"
  if (envelope.content !== "reject" || !isOpen) return ignore
  const { rows } = ended(at)
  return record(undefined, { transactions: rows }, { discard: true })
}

/** A transaction for which nobody has decided in time ends by itself, unless it has promised to wait. */
export const expire = (
  { transactions }: Known,
  uuid: string,
  now: number,
  { pendingTtl }: ParticipantConfig
): Transaction | undefined => {
  const own = transactions.get(uuid)
  return own?.status === "pending" && own.updatedAt + pendingTtl <= now
    ? { ...own, status: "rejected", updatedAt: now }
    : undefined
}
