/** A message that a participant keeps because it has no final answer yet: in `accepted` of its record. */
import { Option, Schema } from "effect"
import { Envelope } from "../wire/Envelope.ts"

/**
 * Enough to answer it, and to undo what accepting did. `runsUntil`: its handler runs outside of a unit of work, until then at least.
 * The inspector reads the first and the last of these fields in the text of the database, so they stay where they are.
 */
const KeptMessage = Schema.fromJsonString(
  Schema.Struct({ command: Schema.String, envelope: Envelope, runsUntil: Schema.optionalKey(Schema.Int) })
)

/** Throws where the record was changed by other hands. */
export const read = Schema.decodeUnknownSync(KeptMessage)

/** The command and the time of a record; without them where the record was changed by other hands. */
export const partsOf = (accepted: string | undefined): { readonly command: string; readonly runsUntil?: number } =>
  Option.getOrElse(decode(accepted), () => ({ command: "" }))

const decode = Schema.decodeUnknownOption(KeptMessage)

export const write = (command: string | undefined, envelope: Envelope, runsUntil: number | undefined): string =>
  JSON.stringify({ command, envelope, runsUntil })
