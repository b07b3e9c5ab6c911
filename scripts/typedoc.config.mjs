/** `npm run reference`: pages about every entry point, made from the docstrings in the sources. */
import { readFileSync } from "node:fs"

const { exports, homepage } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

// TypeDoc reads paths from where its settings are.
export default {
  name: "effect-saga",
  entryPoints: Object.values(exports).flatMap((to) =>
    to["effect-saga:source"] ? [`.${to["effect-saga:source"]}`] : []
  ),
  tsconfig: "../tsconfig.json",
  out: "../docs/reference",
  readme: "none",
  // `npm run check` does that, with the TypeScript of this project.
  skipErrorChecking: true,
  // Every error and service inherits dozens of members from Effect.
  excludeExternals: true,
  validation: { invalidLink: false, notExported: false, notDocumented: false },
  basePath: "../src",
  gitRevision: "main",
  sourceLinkTemplate: `${homepage.split("#")[0]}/blob/main/{path}#L{line}`,
  logLevel: "Warn"
}
