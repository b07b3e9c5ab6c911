// A service of the business with an engine: `by` is the file of this folder, with its options (`dbos:call=http`).
import { serve } from "../../business/serve.ts"

const start = JSON.parse(process.argv[2])
const [name, ...options] = start.by.split(":")
const engine = await import(`./${name}.mjs`)

serve({ ...start, options: Object.fromEntries(options.map((it) => it.split("="))) }, engine)
