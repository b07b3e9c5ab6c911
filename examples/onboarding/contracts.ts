/** The application, the commands of the services, and the signals of people: known to the bank and to its services. */
import { Schema } from "effect"
import { Participant, Signal } from "effect-saga"

/** Texts from a form: they end up in tables and letters, so they have bounds. */
const Text = Schema.NonEmptyString.check(Schema.isMaxLength(100))

export const maxOwners = 20

/** The form that a customer fills in. */
export const Application = Schema.Struct({
  name: Text,
  email: Text,
  /** The branch of the bank, such as Ghent. */
  branch: Text,
  /** The people to whom the customer belongs. Each of them has to show a document. */
  owners: Schema.Array(Text).check(Schema.isBetweenLength(1, maxOwners), Schema.isUnique())
})
export type Application = typeof Application.Type

// ---- the services of the bank, each with its commands

export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", { remark: Schema.String }) {}

export const Screening = Participant.make("screening", {
  /** May the bank have this customer? That takes minutes, so the service begins at once and answers later. */
  Check: {
    payload: { customer: Schema.String, name: Schema.String },
    error: NotAcceptable,
    answer: "later"
  },
  /** Forgets a check that was passed. */
  Drop: { payload: { customer: Schema.String } },
  /** A look at the list takes no time, and has no effect. */
  Look: {
    payload: { name: Schema.String },
    success: Schema.Struct({ passed: Schema.Boolean }),
    compensable: false
  }
})

/** Keeps documents, in a folder for each owner. */
export const Archive = Participant.make("archive", {
  Open: {
    payload: { customer: Schema.String, owner: Schema.String },
    success: Schema.Struct({ folder: Schema.String })
  },
  Discard: { payload: { folder: Schema.String } }
})

export class BranchClosed extends Schema.TaggedError<BranchClosed>()("BranchClosed", { branch: Schema.String }) {}

export const Accounts = Participant.make("accounts", {
  Open: {
    payload: { customer: Schema.String, branch: Schema.String },
    success: Schema.Struct({ iban: Schema.String }),
    error: BranchClosed
  },
  Close: { payload: { iban: Schema.String } }
})

/** A card that is printed and a mail that is sent do not come back: these commands stand behind the pivot of the saga. */
export const Cards = Participant.make("cards", {
  Print: {
    payload: { customer: Schema.String, name: Schema.String, iban: Schema.String },
    success: Schema.Struct({ card: Schema.String }),
    compensable: false
  }
})

export const Mail = Participant.make("mail", {
  Send: { payload: { to: Schema.String, text: Schema.String }, compensable: false }
})

// ---- what people tell the bank

/** By an owner, whose name is the key of the signal. */
export const Document = Signal.make("document", { payload: Schema.Struct({ document: Text }) })

/** By a person of the branch. */
export const Approval = Signal.make("approval", {
  payload: Schema.Struct({ approved: Schema.Boolean, by: Text })
})
