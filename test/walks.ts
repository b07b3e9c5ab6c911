/**
 * The walks through the code in `docs/architecture.md`: tables of files and functions. `npm run docs` numbers each file where
 * a walk comes to it first, and writes down how many files that are.
 */

const station = /^\| \d* ?\| (\[\w+\.ts\]\(\.\.\/(src\/[\w/.]+)\))/gm

/** The page with the right numbers. A section is a walk if it says how many files it leads through. */
export const numbered = (page: string): string => {
  const earlier = new Set<string>()
  return page
    .split(/^(?=## )/m)
    .map((section) => {
      if (!/leads through \d+ files/.test(section)) return section
      const files = new Set<string>()
      const rows = section.replaceAll(station, (_row, link: string, file: string) => {
        if (files.has(file)) return `| | ${link}`
        files.add(file)
        return `| ${files.size} | ${link}`
      })
      const added = [...files].filter((file) => !earlier.has(file)).length
      for (const file of files) earlier.add(file)
      return rows
        .replace(/leads through \d+ files/, `leads through ${files.size} files`)
        .replace(/\d+ of them are not in the walk above/, `${added} of them are not in the walk above`)
    })
    .join("")
}

/** A link to a source file, with the functions that follow it: a cell or words in backticks. */
const place = /\]\(\.\.\/(src\/[\w/.]+\.ts)\)(?: \|)?((?:,?\s`\w+`)+)/g

/** The files that a page names together with some of their functions. */
export const places = (page: string): ReadonlyArray<{ readonly file: string; readonly names: ReadonlyArray<string> }> =>
  Array.from(page.matchAll(place), ([, file = "", names = ""]) => ({
    file,
    names: Array.from(names.matchAll(/\w+/g), ([name]) => name)
  }))

/** A constant, function, class or type, or a member of one of these: never a mere call, import or comment. */
export const declares = (source: string, name: string): boolean =>
  new RegExp(
    `^ *(?:export |declare )*(?:const|let|class|interface|type|function\\*?) ${name}\\b` +
      `|^ *(?:(?:private|protected|readonly|static|get) )*${name}(?:<[^>]*>)?(?:: |\\()`,
    "m"
  ).test(source)
