/**
 * Elements from values. A text is always a text node, so a hostile name is shown and never run: nothing here, or anywhere in
 * the page, reads markup from data. A screen is built anew at every change, and `morph` carries over what differs: focus,
 * selection and scroll positions stay.
 */
export type Child = Node | string | number | false | null | undefined | ReadonlyArray<Child>

type Handler = (event: any) => void

export interface Props {
  readonly class?: string
  /** Tells an element from its siblings over changes. */
  readonly key?: string
  readonly style?: Readonly<Record<string, string>>
  readonly [attribute: string]: string | number | boolean | Handler | undefined | Readonly<Record<string, string>>
}

const svgTags = new Set(["svg", "path", "rect", "line", "g", "circle", "title:svg"])
const svgSpace = "http://www.w3.org/2000/svg"
const handlers = [
  "onclick",
  "oninput",
  "onchange",
  "onsubmit",
  "onkeydown",
  "onscroll",
  "ontoggle",
  "onclose",
  "oncancel"
]

const append = (parent: Node, child: Child): void => {
  if (child === null || child === undefined || child === false) return
  if (child instanceof Node) parent.appendChild(child)
  else if (typeof child === "object") for (const one of child) append(parent, one)
  else parent.appendChild(document.createTextNode(String(child)))
}

/** An element. `on…` are handlers, `style` is set property by property (a style attribute is against the page's policy). */
export const h = (tag: string, props: Props = {}, ...children: ReadonlyArray<Child>): HTMLElement => {
  const [name = tag] = tag.split(":")
  const element = svgTags.has(tag) ? document.createElementNS(svgSpace, name) : document.createElement(name)
  for (const [attribute, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue
    if (typeof value === "function") (element as any)[attribute] = value
    else if (attribute === "style")
      for (const [property, to] of Object.entries(value)) (element as HTMLElement).style.setProperty(property, to)
    else if (attribute === "key") element.setAttribute("data-key", String(value))
    else if (attribute === "value") (element as HTMLInputElement).value = String(value)
    else element.setAttribute(attribute, value === true ? "" : String(value))
  }
  for (const child of children) append(element, child)
  // A select takes its value from the options that it has.
  if (props.value !== undefined && name === "select") (element as HTMLSelectElement).value = String(props.value)
  return element as HTMLElement
}

const keyOf = (node: Node | null | undefined): string | null =>
  node instanceof Element ? node.getAttribute("data-key") : null

const isSame = (a: Node, b: Node): boolean => a.nodeName === b.nodeName && keyOf(a) === keyOf(b)

const takeAttributes = (from: Element, to: Element): void => {
  // A person opens a `details`, and what is open stays open.
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && name !== "style" && !(name === "open" && from.nodeName === "DETAILS"))
      from.removeAttribute(name)
  for (const { name, value } of to.attributes)
    if (name !== "style" && from.getAttribute(name) !== value) from.setAttribute(name, value)
  const [own, wanted] = [(from as HTMLElement).style, (to as HTMLElement).style]
  if (own !== undefined && own.cssText !== wanted.cssText) own.cssText = wanted.cssText
  for (const name of handlers) if ((from as any)[name] !== (to as any)[name]) (from as any)[name] = (to as any)[name]
}

const takeValue = (from: Element, to: Element): void => {
  const isField =
    from instanceof HTMLInputElement || from instanceof HTMLSelectElement || from instanceof HTMLTextAreaElement
  if (!isField) return
  if (from instanceof HTMLInputElement && (from.type === "checkbox" || from.type === "radio")) {
    from.checked = (to as HTMLInputElement).checked
    from.indeterminate = (to as HTMLInputElement).indeterminate
  } else if (from !== document.activeElement && from.value !== (to as HTMLInputElement).value)
    from.value = (to as HTMLInputElement).value
}

/** Makes `from` what `to` is, with as few changes as it takes. */
export const morph = (from: Node, to: Node): void => {
  if (from instanceof Element && to instanceof Element) {
    takeAttributes(from, to)
    morphChildren(from, to)
    takeValue(from, to)
  } else if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue
}

const morphChildren = (from: Element, to: Element): void => {
  const keyed = new Map<string, ChildNode>()
  for (const child of from.childNodes) {
    const key = keyOf(child)
    if (key !== null) keyed.set(key, child)
  }
  let at: ChildNode | null = from.firstChild
  for (const wanted of [...to.childNodes]) {
    const key = keyOf(wanted)
    const known = key === null ? undefined : keyed.get(key)
    if (known !== undefined && known !== at && isSame(known, wanted)) from.insertBefore(known, at)
    const here: ChildNode | null = known !== undefined && isSame(known, wanted) ? known : at
    if (here !== null && isSame(here, wanted)) {
      morph(here, wanted)
      at = here.nextSibling
    } else from.insertBefore(wanted, at)
  }
  while (at !== null) {
    const next: ChildNode | null = at.nextSibling
    at.remove()
    at = next
  }
}
