/**
 * The last step of the build: makes `dist` easy to take apart, as the build of effect does with its own.
 *
 * A call that runs while a module is loaded is marked as pure, so that a bundler leaves out a schema, an error or a
 * service that nobody uses. A call that is a statement of its own is there for its effect: it gets no mark.
 * Modules of effect are imported one by one: esbuild takes all of `Schema` where it is imported from "effect".
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseAst } from "rolldown/parseAst"

/** Where the calls start that run together with the node: none of those in a function. */
const callsIn = (node) => {
  if (typeof node !== "object" || node === null || /Function/.test(node.type)) return []
  const inner = Object.values(node).flatMap(callsIn)
  return node.type === "CallExpression" || node.type === "NewExpression" ? [node.start, ...inner] : inner
}

const marks = (statement) => {
  const declaration = statement.declaration ?? statement
  const starts = /Declaration$/.test(declaration.type) ? callsIn(declaration) : []
  return Array.from(new Set(starts), (at) => ({ start: at, end: at, text: "/*#__PURE__*/ " }))
}

const isModule = ({ imported, type }) => type === "ImportSpecifier" && /^[A-Z]/.test(imported.name)

const imports = (statement) => {
  const { end, source, specifiers = [], start, type } = statement
  const isBarrel = type === "ImportDeclaration" && /^effect(\/\w+)?$/.test(source.value) && specifiers.every(isModule)
  if (!isBarrel) return []
  const own = ({ imported, local }) => `import * as ${local.name} from "${source.value}/${imported.name}";`
  return [{ start, end, text: specifiers.map(own).join(" ") }]
}

for (const file of readdirSync("dist", { recursive: true }).filter((file) => file.endsWith(".js"))) {
  const path = join("dist", file)
  const code = readFileSync(path, "utf8")
  const changes = parseAst(code).body.flatMap((statement) => [...marks(statement), ...imports(statement)])
  changes.sort((a, b) => b.start - a.start)
  writeFileSync(
    path,
    changes.reduce((text, { end, start, text: added }) => text.slice(0, start) + added + text.slice(end), code)
  )
}
