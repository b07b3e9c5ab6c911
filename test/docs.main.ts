/**
 * `npm run docs`: writes what the programs in `examples/` print and the JSON Schema of the messages, and brings the pages
 * up to date with the sources.
 */
import { writeFileSync } from "node:fs"
import { page as conformance } from "./conformance.ts"
import { pages, render } from "./docs.ts"
import { programs, run } from "./examples.ts"
import { envelopeSchema } from "./protocol.ts"

const root = new URL("../", import.meta.url)

for (const program of programs) writeFileSync(new URL(`${program}.out`, root), await run(program))
writeFileSync(new URL("docs/conformance.md", root), conformance())
writeFileSync(new URL("docs/envelope.schema.json", root), envelopeSchema())
for (const page of pages) writeFileSync(new URL(page, root), render(page))
