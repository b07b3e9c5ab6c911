/** The JSON Schema of the envelope in `docs/protocol.md`, made from the code. */
import { Schema } from "effect"
import { Envelope } from "effect-saga/internals"

/** The text of `docs/envelope.schema.json`. */
export const envelopeSchema = (): string => {
  const { schema } = Schema.toJsonSchemaDocument(Envelope.Envelope)
  const document = { $schema: "https://json-schema.org/draft/2020-12/schema", title: "Envelope", ...schema }
  return `${JSON.stringify(document, null, 2)}\n`
}
