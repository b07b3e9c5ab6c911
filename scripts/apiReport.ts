/**
 * A report of API Extractor, arranged for review. The tool writes one flat list in which exported names and names that
 * merely occur in a signature look alike, and numbers equal names of different modules (`make_4`): one more `make`
 * renumbers the others. Here each module has a section, names are qualified, and what is not exported is a list of names.
 */

/** A module of an entry point: the name that it is exported by, and its members by the name they have in the report. */
interface Module {
  readonly name: string
  readonly members: ReadonlyMap<string, string>
}

const declared = /^(?:export )?(?:declare )?(?:abstract )?(?:class|const|enum|function|interface|namespace|type) (\w+)/m

const nameOf = (paragraph: string): string => declared.exec(paragraph)?.[1] ?? ""

/** Declarations by name. A type and a value may share one. Everything is public here, so that is not said of each. */
const declarationsOf = (report: string): ReadonlyMap<string, ReadonlyArray<string>> =>
  Map.groupBy(
    report
      .split("\n\n")
      .filter((paragraph) => declared.test(paragraph))
      .map((paragraph) => paragraph.replace(/^\/\/ @public\n/, "").replace(/^\/\/ @public \(/, "// (")),
    nameOf
  )

/** `declare namespace Saga { export { make_4 as make, Any } }`: what a module exports. */
const membersOf = (namespace: string): ReadonlyMap<string, string> =>
  new Map(
    Array.from(namespace.matchAll(/^ {8}(\w+)(?: as (\w+))?,?$/gm), ([, own = "", exported = own]) => [own, exported])
  )

const isNamespace = (paragraph: string | undefined): paragraph is string =>
  paragraph?.startsWith("declare namespace ") ?? false

const modulesOf = (
  declarations: ReadonlyMap<string, ReadonlyArray<string>>,
  own: string,
  name: string
): ReadonlyArray<Module> => {
  const [namespace] = declarations.get(own) ?? []
  if (!isNamespace(namespace)) return []
  const members = membersOf(namespace)
  const inner = [...members].flatMap(([member, exported]) => modulesOf(declarations, member, `${name}.${exported}`))
  return [{ name, members }, ...inner]
}

/**
 * Numbered names (`make_4`) as `Saga.make`, and as `make` in the section of `Saga`; the others are unique as they are. A
 * module that sources import under several names is numbered too (`Saga_2.make`).
 */
const qualifier = (
  modules: ReadonlyArray<Module>,
  declarations: ReadonlyMap<string, ReadonlyArray<string>>
): ((text: string, module?: string) => string) => {
  const places = new Map<string, ReadonlyArray<readonly [module: string, name: string]>>()
  for (const { members, name } of modules)
    for (const [own, exported] of members) places.set(own, [...(places.get(own) ?? []), [name, exported]])

  const keyOf = (members: ReadonlyMap<string, string>): string => [...members.keys()].sort().join()
  const byMembers = new Map(modules.map(({ members, name }) => [keyOf(members), name]))
  const aliases = new Map(
    [...declarations].flatMap(([own, [first]]) =>
      isNamespace(first) ? [[own, byMembers.get(keyOf(membersOf(first)))] as const] : []
    )
  )

  return (text, module) =>
    text.replaceAll(/\b\w+_\d+\b/g, (own) => {
      const all = places.get(own)
      const [place, name] = all?.find(([each]) => each === module) ?? all?.[0] ?? []
      if (place === undefined || name === undefined) return aliases.get(own) ?? own
      return place === module ? name : `${place}.${name}`
    })
}

/** The declarations of a name, each class with its base, which says what is in an error or a service. */
const withBase = (declarations: ReadonlyMap<string, ReadonlyArray<string>>, own: string): ReadonlyArray<string> =>
  (declarations.get(own) ?? [])
    .filter((declaration) => !isNamespace(declaration))
    .flatMap((declaration) => {
      const [, base = ""] = /^(?:export )?class [^\n{]+ extends (\w+)/m.exec(declaration) ?? []
      return [declaration, ...(/_base(?:_\d+)?$/.test(base) ? (declarations.get(base) ?? []) : [])]
    })

const isType = /^(?:export )?(?:declare )?(?:abstract )?(?:class|enum|interface|type) /m

/**
 * The report of an entry point, from the one of API Extractor and the declarations of the entry point. What the core
 * exports can be named, so `core`, its report, is taken into account where names are missing.
 */
export const arrange = (entry: string, report: string, entryDeclarations: string, core = ""): string => {
  const declarations = declarationsOf(report)
  const modules = Array.from(entryDeclarations.matchAll(/^export (?:type )?\* as (\w+)/gm), ([, name = ""]) => name)
    .sort()
    .flatMap((name) => modulesOf(declarations, name, name))
  const qualify = qualifier(modules, declarations)

  const shown = new Map<string, string>()
  const reported: Array<string> = []
  /** A declaration, or where it stands if a section before has it. */
  const show = (own: string, module: string | undefined): ReadonlyArray<string> => {
    const before = shown.get(own)
    if (before !== undefined) return [`// ${qualify(own, module)}: see ${before}`]
    shown.set(own, module ?? "above")
    const found = withBase(declarations, own)
    for (const declaration of found) reported.push(declaration)
    return found.map((declaration) => qualify(declaration, module))
  }

  const section = (title: string, found: ReadonlyArray<string>): string =>
    `## ${title}\n\n\`\`\`ts\n${found.join("\n\n")}\n\`\`\`\n`

  const byName = [...declarations].flatMap(([own, [first = ""]]) => (/^export /m.test(first) ? [own] : []))
  const sections = [
    ...modules.map(({ members, name }) => {
      const sorted = [...members].sort(([, a], [, b]) => (a < b ? -1 : 1))
      return section(
        name,
        sorted.flatMap(([own]) => show(own, name))
      )
    }),
    ...(byName.length === 0
      ? []
      : [
          section(
            "Exported by name",
            byName.flatMap((own) => show(own, undefined))
          )
        ])
  ]

  // Before names are qualified, when each means one thing.
  const text = reported.join("\n")
  const isNamed = (own: string): boolean => new RegExp(`\\b${own}\\b`).test(text)
  const isExported = (own: string): boolean =>
    shown.has(own) ||
    new RegExp(`^(?:export )?(?:class|interface|type) ${own.replace(/_\\d+$/, "")}\\b`, "m").test(core)
  const hidden = [...declarations]
    .filter(
      ([own, [first = ""]]) => isType.test(first) && !/_base(?:_\d+)?$/.test(own) && isNamed(own) && !isExported(own)
    )
    .map(([own]) => own)
    .sort()
  const rest = hidden.length === 0 ? [] : [`## Named here and not exported\n\n${hidden.join(", ")}\n`]
  return [`# ${entry}\n\nMade by API Extractor: \`npm run api\`.\n`, ...sections, ...rest].join("\n")
}
