/**
 * Decides about one message to a participant: the table of SPEC C6 as a pure function of the records, the message and the
 * time. It relies on records, never on likelihood: a message that was answered gets the same reply again, and one that must
 * not run is recorded as such before it can come.
 */
import type { Barrier, Records, Scope, Transaction, Unit } from "../ports/ParticipantStore.ts"
import { attemptOf, type Envelope, messageId, type ReplyStatus, unrecorded } from "../wire/Envelope.ts"
import type { Json } from "../wire/JsonLimits.ts"
import { type Incoming, isRecordOf } from "./IncomingMessage.ts"
import * as KeptTimes from "./KeptTimes.ts"
import type { ParticipantConfig } from "./ParticipantConfig.ts"

/** The parts of a reply that do not follow from the message that is answered. */
export interface ParticipantReply {
  readonly status: ReplyStatus
  readonly content?: Json
  /** Services that took part. Absent: only the one that replies. */
  readonly relatedServices?: ReadonlyArray<string>
}

/** Why a message becomes a dead letter, for a person to look at. */
export type Fault =
  | "MessageMalformed"
  | "SenderMismatch"
  | "MessageIdReused"
  | "TransactionMismatch"
  | "ProtocolViolation"
  | "HeuristicOutcome"
  | "Purged"

/** What to do with a message. `discard`: first reject what the transaction has staged, in the same unit of work. */
export type ParticipantAction =
  /** It changes nothing and gets no reply. */
  | { readonly _tag: "Ignore" }
  | { readonly _tag: "PutAway"; readonly fault: Fault; readonly reply?: ParticipantReply }
  /** It was answered before: the same body again. */
  | { readonly _tag: "Repeat"; readonly body: string }
  /** Reply without a record: the reply is not final, or nothing can run any more. */
  | { readonly _tag: "Reply"; readonly reply: ParticipantReply }
  /** Without `reply` nobody waits for one. `final`: the reply is recorded under the id of the message. */
  | {
      readonly _tag: "Record"
      readonly records: Records
      readonly discard: boolean
      readonly reply?: ParticipantReply
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
  | { readonly _tag: "Commit"; readonly transaction: Transaction; readonly reply?: ParticipantReply }

/** The records that a unit of work has read. */
export type KnownRecords = Pick<Unit, "transactions" | "barriers">

// ---- what a message is about -----------------------------------------------------------------------------------

/** The execute that a probe or a compensation is about. Behind a pivot there may be several: a probe has the number of one. */
export const executeId = ({ id, path, saga }: Envelope): string => messageId(saga, path ?? "", "execute", attemptOf(id))

const isCommand = ({ op }: Envelope): boolean => op === "execute" || op === "failure" || op === "probe"

/** The paths that this service has answered 200, as the coordinator has seen it. */
const reservedPaths = ({ content }: Envelope): ReadonlyArray<string> | undefined =>
  Array.isArray(content) && content.every((path): path is string => typeof path === "string") ? content : undefined

/** Ids follow from the subject of a message (SPEC C3): a free id could take the place of another message. */
const isWellFormed = (envelope: Envelope): boolean => {
  const { content, id, inReplyTo, op, path, saga, service } = envelope
  switch (op) {
    case "execute":
    case "probe":
      return path !== undefined && id === messageId(saga, path, op, attemptOf(id))
    case "failure":
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

/** The transactions and messages that a unit of work locks and reads to decide. Undefined: the message is malformed. */
export const scopeOf = (service: string, envelope: Envelope): Scope | undefined => {
  if (!isWellFormed(envelope)) return undefined
  const transactions = isCommand(envelope) ? unique(envelope.transactions) : [envelope.saga]
  const { op } = envelope
  const ending = op === "failure" || op === "reserve" || op === "reject" || op === "reply"
  return { service, transactions, messages: unique(messagesOf(envelope)), ending }
}

/** The messages whose records say what to do. */
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
  notAfter: KeptTimes.latest(known, envelope, now),
  heuristic: known?.heuristic ?? false,
  updatedAt: now
})

/** A transaction that keeps its status. Only the coordinator and the latest `notAfter` may be new. */
const touched = (known: Transaction, envelope: Envelope, now: number): Transaction => ({
  ...known,
  coordinator: known.coordinator ?? (known.uuid === envelope.saga ? envelope.coordinator : undefined),
  notAfter: KeptTimes.latest(known, envelope, now)
})

const barrierOf = (envelope: Envelope, now: number) => ({
  transaction: isCommand(envelope) ? belongsTo(envelope) : envelope.saga,
  coordinator: envelope.coordinator,
  // The execution may ask for as long as `keepUntil` says, and about what was answered a moment ago (SPEC C16).
  keepUntil: Math.max(KeptTimes.believed(envelope.notAfter, now), envelope.keepUntil ?? 0, now),
  createdAt: now
})

/** The record of an execute that has not come: if it comes later, it runs nothing. */
const blockedExecute = (envelope: Envelope, now: number): Barrier => ({
  ...barrierOf(envelope, now),
  id: executeId(envelope),
  request: undefined,
  status: 500,
  reply: undefined,
  effect: "none",
  open: false,
  accepted: undefined
})

/** The record of a message that is answered now. */
export const answeredBarrier = (
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
  open,
  accepted: undefined
})

// ---- decisions -------------------------------------------------------------------------------------------------

const ignore: ParticipantAction = { _tag: "Ignore" }
const replyWith = (status: ReplyStatus, content?: Json): ParticipantAction => ({
  _tag: "Reply",
  reply: content === undefined ? { status } : { status, content }
})

/** A 500: the command has not run, or its effect is gone. */
export const refused = (reason: string): ParticipantReply => ({ status: 500, content: reason })

const record = (
  reply: ParticipantReply | undefined,
  records: Partial<Records>,
  { discard = false, final = true }: { readonly discard?: boolean; readonly final?: boolean } = {}
): ParticipantAction => ({
  _tag: "Record",
  records: { transactions: records.transactions ?? [], barriers: records.barriers ?? [] },
  discard,
  ...(reply !== undefined && { reply }),
  final: final && reply !== undefined
})

/** The table of SPEC C6: the message and the status of its transaction give the action. */
export const decide = (
  known: KnownRecords,
  message: Incoming,
  now: number,
  settings: ParticipantConfig
): ParticipantAction => {
  const { envelope } = message
  const own = known.transactions.get(envelope.saga)
  const recorded = known.barriers.get(envelope.id)
  const isForeign = ({ coordinator }: { readonly coordinator: string | undefined }): boolean =>
    coordinator !== undefined && coordinator !== envelope.coordinator
  if (own !== undefined && isForeign(own)) return { _tag: "PutAway", fault: "SenderMismatch" }
  for (const barrier of known.barriers.values()) {
    if (isForeign(barrier)) return { _tag: "PutAway", fault: "SenderMismatch" }
  }
  if (recorded !== undefined) {
    // The record says that the message never runs, or is of the message that was answered or accepted.
    if (recorded.request === undefined || recorded.reply === undefined) return replyWith(500, "Refused")
    if (!isRecordOf(recorded.request, message)) return { _tag: "PutAway", fault: "MessageIdReused" }
    return recorded.status === 202 && envelope.later !== true ? ignore : { _tag: "Repeat", body: recorded.reply }
  }
  const situation: Situation = { ...known, envelope, own, now, bound: envelope.notAfter + settings.maxSkew, settings }
  switch (envelope.op) {
    case "execute":
      return execute(situation)
    case "failure":
      return compensate(situation)
    case "probe":
      return probe(situation)
    case "reserve":
      return reserve(situation)
    case "commit":
      return commit(situation, { status: 200 })
    case "reject":
      return reject(situation)
    case "reply":
      return learnDecision(situation)
    case "status":
      return { _tag: "PutAway", fault: "MessageMalformed" }
  }
}

/** Everything that a row of the table depends on. */
interface Situation extends KnownRecords {
  readonly envelope: Envelope
  /** The transaction of the execution itself. */
  readonly own: Transaction | undefined
  readonly now: number
  /** From this time on a missing record may have been purged. */
  readonly bound: number
  readonly settings: ParticipantConfig
}

const isLate = ({ bound, now }: Situation): boolean => now > bound

/** So late that the record of a message without a transaction may have been purged. */
const isForgotten = ({ bound, envelope, now, settings }: Situation): boolean =>
  envelope.transactions.length === 0 && now > bound + settings.participantRetention

/** The message contradicts the records: nothing changes, and a person has to look at it. */
const violation = ({ own }: Situation, isAnswered = true): ParticipantAction => {
  const fault = own?.heuristic === true ? "HeuristicOutcome" : "ProtocolViolation"
  return { _tag: "PutAway", fault, ...(isAnswered && { reply: refused(fault) }) }
}

const execute = (situation: Situation): ParticipantAction => {
  const { envelope, now, own, transactions } = situation
  if (now > envelope.notAfter) {
    if (isForgotten(situation)) return { _tag: "PutAway", fault: "Purged" }
    // Recorded, because another instance, whose clock is behind, must not run it after this reply.
    const isRecorded = !isLate(situation) && (joins(situation) || envelope.transactions.length === 0)
    const rows = unrunRows(situation)
    return isRecorded ? record(refused("Expired"), { transactions: rows }) : replyWith(500, "Expired")
  }
  const rows = unique(envelope.transactions).flatMap((uuid) => transactions.get(uuid) ?? [])
  if (rows.every(({ status }) => status === "pending")) {
    return { _tag: "Execute", transactions: opened(situation, envelope, now), staging: joins(situation) }
  }
  // An outer transaction is over. The command's own transaction, which has no record yet, is refused with it.
  const unopened = joins(situation) && own === undefined ? [becomes(own, envelope, "rejected", now)] : []
  return record(refused("Refused"), { transactions: [...rows.map((row) => touched(row, envelope, now)), ...unopened] })
}

/** All transactions of a command. New ones are pending; ended ones keep their status. */
export const opened = ({ transactions }: KnownRecords, envelope: Envelope, now: number): ReadonlyArray<Transaction> =>
  unique(envelope.transactions).map((uuid) => {
    const known = transactions.get(uuid)
    if (known !== undefined) {
      const updatedAt = KeptTimes.pendingFrom(known, envelope.keepUntil, now)
      return { ...touched(known, envelope, now), ...(known.status === "pending" && { updatedAt }) }
    }
    // An outer execution has another coordinator, which is not known yet.
    const coordinator = uuid === envelope.saga ? envelope.coordinator : undefined
    const updatedAt = KeptTimes.pendingFrom(undefined, envelope.keepUntil, now)
    return {
      uuid,
      coordinator,
      status: "pending",
      notAfter: KeptTimes.latest(undefined, envelope, now),
      heuristic: false,
      updatedAt
    }
  })

/** Whether the message belongs to the transaction of its own execution. */
const joins = ({ envelope }: Situation): boolean => envelope.transactions.includes(envelope.saga)

/** The own transaction of a command that never runs. One without a record is rejected: a later copy must not open it. */
const unrunRows = (situation: Situation): ReadonlyArray<Transaction> => {
  if (!joins(situation)) return []
  const { envelope, now, own } = situation
  return [own === undefined ? becomes(own, envelope, "rejected", now) : touched(own, envelope, now)]
}

/** Ends the transaction, if it is open, as part of another action. */
const ended = ({
  envelope,
  now,
  own
}: Situation): { readonly rows: ReadonlyArray<Transaction>; readonly discard: boolean } =>
  own === undefined || own.status === "pending" || own.status === "reserved"
    ? { rows: [becomes(own, envelope, "rejected", now)], discard: own !== undefined }
    : { rows: [touched(own, envelope, now)], discard: false }

const compensate = (situation: Situation): ParticipantAction => {
  const { barriers, envelope, now, own } = situation
  const executed = barriers.get(executeId(envelope))
  if (executed !== undefined && executed.transaction !== belongsTo(envelope)) {
    return { _tag: "PutAway", fault: "TransactionMismatch" }
  }
  const undone: ParticipantReply = KeptTimes.isLost(envelope, executed, now) ? refused(unrecorded) : { status: 200 }
  if (executed === undefined && own === undefined && isLate(situation))
    return isForgotten(situation) ? replyWith(500, "Purged") : { _tag: "Reply", reply: undone }
  if (own?.status === "committed") return violation(situation)
  const { discard, rows } = joins(situation) ? ended(situation) : { rows: [], discard: false }
  if (executed?.effect === "immediate") return { _tag: "Compensate", transactions: rows, executed, discard }
  const unseen = executed === undefined ? [blockedExecute(envelope, now)] : []
  return record(undone, { transactions: rows, barriers: unseen }, { discard, final: undone.status === 200 })
}

const probe = (situation: Situation): ParticipantAction => {
  const { barriers, envelope, now, own } = situation
  const executed = barriers.get(executeId(envelope))
  if (executed !== undefined) {
    if (executed.transaction !== belongsTo(envelope)) return { _tag: "PutAway", fault: "TransactionMismatch" }
    // What is accepted is ended by the question, and never has an effect (SPEC C19).
    return executed.status === 500 || executed.status === 202 || executed.reply === undefined
      ? replyWith(404)
      : { _tag: "Reply", reply: replyIn(executed.reply, executed.status) }
  }
  if (own === undefined && isLate(situation)) return isForgotten(situation) ? replyWith(500, "Purged") : replyWith(404)
  const rows = unrunRows(situation)
  return record({ status: 404 }, { transactions: rows, barriers: [blockedExecute(envelope, now)] }, { final: false })
}

/** The parts of a recorded reply. */
const replyIn = (reply: string, status: ReplyStatus): ParticipantReply => {
  const { content, relatedServices }: Envelope = JSON.parse(reply)
  return { status, ...(content !== undefined && { content }), relatedServices }
}

const reserve = (situation: Situation): ParticipantAction => {
  const { barriers, envelope, now, own } = situation
  const no = (reason: string): ParticipantReply => ({ status: 400, content: reason })
  if (own === undefined) {
    return isLate(situation)
      ? { _tag: "Reply", reply: no("Purged") }
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
      return record({ status: 200 }, { transactions: [touched(own, envelope, now)] })
    case "rejected":
      return record(no("Rejected"), { transactions: [touched(own, envelope, now)] })
  }
}

const commit = (situation: Situation, reply: ParticipantReply | undefined): ParticipantAction => {
  const { envelope, now, own } = situation
  const isAnswered = reply !== undefined
  switch (own?.status) {
    case undefined:
      return isLate(situation) ? (isAnswered ? replyWith(200) : ignore) : violation(situation, isAnswered)
    case "pending":
    case "rejected":
      return violation(situation, isAnswered)
    case "reserved":
      return {
        _tag: "Commit",
        transaction: becomes(own, envelope, "committed", now),
        ...(isAnswered && { reply })
      }
    case "committed":
      return own === undefined || !isAnswered ? ignore : record(reply, { transactions: [touched(own, envelope, now)] })
  }
}

const reject = (situation: Situation): ParticipantAction => {
  if (situation.own === undefined && isLate(situation)) return replyWith(200)
  if (situation.own?.status === "committed") return violation(situation)
  const { discard, rows } = ended(situation)
  return record({ status: 200 }, { transactions: rows }, { discard })
}

/** The coordinator's reply to `status`. */
const learnDecision = (situation: Situation): ParticipantAction => {
  const { envelope, own } = situation
  if (envelope.content === "commit") return commit(situation, undefined)
  const isOpen = own?.status === "pending" || own?.status === "reserved"
  if (envelope.content !== "reject" || !isOpen) return ignore
  const { rows } = ended(situation)
  return record(undefined, { transactions: rows }, { discard: true })
}

/** The rejected transaction, if it has been pending for too long. A reserved one has promised to wait, and never expires. */
export const expire = (
  { transactions }: KnownRecords,
  uuid: string,
  now: number,
  { pendingTtl }: ParticipantConfig
): Transaction | undefined => {
  const own = transactions.get(uuid)
  return own?.status === "pending" && own.updatedAt + pendingTtl <= now
    ? { ...own, status: "rejected", updatedAt: now }
    : undefined
}
