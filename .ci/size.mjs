/**
 * What a contract costs a browser: the size of a bundle that has the schema of a payload, and of one that makes a
 * participant of it, both minified. It reads `dist`; a module of Node in the way makes the bundlers fail.
 */
import { join } from "node:path"
import { build as esbuild } from "esbuild"
import { build as rolldown } from "rolldown"

/** Bytes that a contract may add. */
const most = 20_000

const entry = join(import.meta.dirname, "../contract.js")

const bundlers = {
  rolldown: async (code) => {
    const virtual = {
      name: "virtual",
      resolveId: (id) => (id === entry ? id : null),
      load: (id) => (id === entry ? code : null)
    }
    const options = { input: entry, plugins: [virtual], platform: "browser", write: false, output: { minify: true } }
    const { output } = await rolldown(options)
    if (output[0].imports.length > 0) throw new Error(`not found: ${output[0].imports}`)
    return output[0].code
  },
  esbuild: async (code) => {
    const stdin = { contents: code, resolveDir: import.meta.dirname }
    const options = { stdin, bundle: true, platform: "browser", format: "esm", minify: true, write: false }
    return (await esbuild(options)).outputFiles[0].text
  }
}

const schema = `export const Charge = Schema.Struct({ order: Schema.String, amount: Schema.Int })`
const contract = `export const Payments = Participant.make("payments", { Charge: { payload: Charge.fields } })`

const sizeOf = async (bundler, ...lines) => Buffer.byteLength(await bundlers[bundler](lines.join("\n")))
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

const measure = async (bundler, importSchema, importParticipant) => {
  const without = await sizeOf(bundler, importSchema, schema)
  const whole = await sizeOf(bundler, importSchema, importParticipant, schema, contract)
  const added = whole - without
  console.log(`${bundler}: ${importParticipant}: ${kB(without)}, with a contract ${kB(whole)}: ${kB(added)} more`)
  return added
}

const added = [
  await measure("rolldown", `import { Schema } from "effect"`, `import { Participant } from "effect-saga"`),
  await measure(
    "esbuild",
    `import * as Schema from "effect/Schema"`,
    `import * as Participant from "effect-saga/Participant"`
  )
]
if (added.some((bytes) => bytes > most)) {
  console.error(`a contract may add ${kB(most)}`)
  process.exitCode = 1
}
