/** A message to a participant, and the hash by which a second delivery of it is told from another message with its id. */
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import { canonical, type Envelope } from "../wire/Envelope.ts"

export interface Incoming {
  readonly envelope: Envelope
  /** The last part of the topic, for a command. */
  readonly command: string | undefined
  /** SHA-256 of the message and its command. */
  readonly request: string
}

export const incoming = (envelope: Envelope, command: string | undefined): Incoming => ({
  envelope,
  command,
  request: CanonicalJson.sha256OfText(`[${JSON.stringify(command ?? null)},${canonical(envelope)}]`)
})

/** Whether a record is of the message. Release 0.1.0 has recorded another hash where a key of the message is an index. */
export const isRecordOf = (recorded: string, { command, envelope, request }: Incoming): boolean => {
  if (recorded === request) return true
  const { keepUntil, later, recordedUntil, ...known } = envelope
  return recorded === CanonicalJson.sha256OfText(CanonicalJson.formerly([command ?? null, known]))
}
