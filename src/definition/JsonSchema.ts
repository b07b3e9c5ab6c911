/** The JSON Schema of a codec: for shapes of sagas, and for forms that people fill in. */
import { Schema } from "effect"
import type { Codec } from "./Command.ts"

/** The JSON Schema of the encoded form. It needs no other document. */
export const jsonSchema = (codec: Codec<any>): Schema.Json => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(codec)
  // Cast: a JSON Schema is JSON, although its type does not say so. With `$defs` it needs no other document.
  return (Object.keys(definitions).length === 0 ? schema : { ...schema, $defs: definitions }) as Schema.Json
}
