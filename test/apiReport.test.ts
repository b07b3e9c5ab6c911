/** How the list of API Extractor becomes a report that a person can compare. */
import { assert, it } from "@effect/vitest"
import { arrange } from "../scripts/apiReport.ts"

const entry = `export * as Crate from "./Crate.ts";
export * as Box from "./Box.ts";
export { open } from "./open.ts";
`

const report = `## API Report File for "boxes"

\`\`\`ts

declare namespace Box {
    export {
        Box_2 as Box,
        make,
        Unopened
    }
}

// @public (undocumented)
class Box_2<A> extends Box_base<A> {
}

// @public (undocumented)
const Box_base: Base<{ readonly lid: Lid }>;

// @public
interface Crate_2 {
    readonly boxes: ReadonlyArray<Box_3.Box>;
}

declare namespace Box_3 {
    export {
        Box_2 as Box,
        make,
        Unopened
    }
}

declare namespace Crate {
    export {
        Crate_2 as Crate,
        make_2 as make,
        Unopened
    }
}

// @public
interface Lid {
}

// @public
const make: () => Box_2<string>;

// @public
const make_2: (box: Box_2<string>) => Crate_2;

// @public
export const open: () => void;

// @public
class Unopened {
}

\`\`\`
`

it("has a section for each module, qualified names, bases of classes, and the types that nobody can import", () => {
  const sections = arrange("boxes", report, entry).split(/^(?=#)/m)
  const code = (text: string) => `\`\`\`ts\n${text}\n\`\`\`\n\n`
  assert.deepStrictEqual(sections.slice(1), [
    `## Box\n\n${code(
      [
        "// (undocumented)\nclass Box<A> extends Box_base<A> {\n}",
        "// (undocumented)\nconst Box_base: Base<{ readonly lid: Lid }>;",
        "class Unopened {\n}",
        "const make: () => Box<string>;"
      ].join("\n\n")
    )}`,
    `## Crate\n\n${code(
      [
        "interface Crate {\n    readonly boxes: ReadonlyArray<Box.Box>;\n}",
        "// Unopened: see Box",
        "const make: (box: Box.Box<string>) => Crate;"
      ].join("\n\n")
    )}`,
    `## Exported by name\n\n${code("export const open: () => void;")}`,
    "## Named here and not exported\n\nLid\n"
  ])
})
