/** A form from the JSON Schema of what a signal says. What the form cannot show is asked for as JSON. */
import type { Row, Wait } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { ask, note, say } from "./dialog.ts"
import { type Child, h } from "./dom.ts"
import type { Context } from "./screen.ts"

interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: ReadonlyArray<string>
  readonly enum?: ReadonlyArray<unknown>
  readonly title?: string
  readonly description?: string
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
  readonly allOf?: ReadonlyArray<Schema>
  readonly anyOf?: ReadonlyArray<Schema>
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
}

interface Field {
  readonly element: Child
  /** The value as it is stored; undefined: left empty. Throws a sentence where it is none. */
  readonly read: () => unknown
}

let ids = 0

const field = (
  schema: Schema,
  defs: Readonly<Record<string, Schema>>,
  name: string,
  isRequired: boolean,
  isFirst: boolean
): Field => {
  const of = schema.$ref === undefined ? schema : (defs[schema.$ref.split("/").at(-1) ?? ""] ?? {})
  const id = `answer-${ids++}`
  const first = isFirst ? { "data-first": true } : {}
  const label = (input: HTMLElement): Child => [
    h(
      "label",
      { class: "field", for: id },
      h(
        "span",
        {},
        `${name}${isRequired ? "" : " (optional)"}`,
        of.description === undefined ? null : h("small", {}, ` ${of.description}`)
      ),
      input
    )
  ]
  const text = (input: HTMLElement): string => (input as HTMLInputElement).value
  if (of.type === "object" && of.properties !== undefined) {
    const inner = Object.entries(of.properties).map(
      ([key, schema], i) =>
        [key, field(schema, defs, key, of.required?.includes(key) === true, isFirst && i === 0)] as const
    )
    return {
      element: h(
        "fieldset",
        {},
        h("legend", {}, name),
        inner.map(([, { element }]) => element)
      ),
      read: () =>
        Object.fromEntries(
          inner.map(([key, { read }]) => [key, read()] as const).filter(([, value]) => value !== undefined)
        )
    }
  }
  const choices = of.enum ?? (of.type === "boolean" ? [true, false] : undefined)
  if (choices !== undefined) {
    const input = h(
      "select",
      { id, required: isRequired, ...first },
      isRequired && choices.length > 1 ? h("option", { value: "" }, "choose") : null,
      isRequired ? null : h("option", { value: "" }, "–"),
      choices.map((one, i) => h("option", { value: i }, one === true ? "yes" : one === false ? "no" : String(one)))
    )
    return { element: label(input), read: () => (text(input) === "" ? undefined : choices[Number(text(input))]) }
  }
  if (of.type === "string") {
    const input = h("input", {
      id,
      required: isRequired && of.minLength !== undefined,
      maxlength: of.maxLength,
      autocomplete: "off",
      ...first
    })
    return { element: label(input), read: () => (text(input) === "" && !isRequired ? undefined : text(input)) }
  }
  if (of.type === "number" || of.type === "integer") {
    const input = h("input", {
      id,
      type: "number",
      step: of.type === "integer" ? 1 : "any",
      min: of.minimum,
      max: of.maximum,
      required: isRequired,
      ...first
    })
    return { element: label(input), read: () => (text(input) === "" ? undefined : Number(text(input))) }
  }
  if (of.type === "null") return { element: null, read: () => null }
  const input = h("textarea", { id, rows: "4", spellcheck: "false", placeholder: "{ }", ...first })
  return {
    element: label(input),
    read: () => {
      if (text(input).trim() === "") return undefined
      try {
        return JSON.parse(text(input))
      } catch {
        throw new Error(`${name} is no JSON`)
      }
    }
  }
}

/** Sends the signal that a step waits for. */
export const answer = async (
  row: Pick<Row, "startKey" | "uuid">,
  wait: Pick<Wait, "form" | "key" | "signal" | "step">,
  context: Context
): Promise<void> => {
  const schema = (wait.form ?? {}) as Schema
  const isEmpty = wait.form === null
  const made = isEmpty ? undefined : field(schema, schema.$defs ?? {}, wait.signal, true, true)
  const given = await ask({
    title: `Answer ${row.startKey ?? "the execution"}`,
    body: h(
      "p",
      {},
      h("strong", {}, wait.step),
      " waits for the signal ",
      h("code", {}, wait.signal),
      wait.form === undefined
        ? ". This process does not have the saga, so what the signal says is asked for as JSON."
        : "."
    ),
    action: "Send it",
    ...(made !== undefined && { fields: () => made.element })
  })
  if (given === undefined) return
  try {
    const payload = made?.read()
    const done = await api.act(row.uuid, {
      action: "signal",
      signal: wait.signal,
      reason: given.reason,
      ...(wait.key !== undefined && { key: wait.key }),
      ...(payload !== undefined && { payload: payload as any })
    })
    say(done)
  } catch (error) {
    note((error as Error).message, "bad")
  }
  await context.refresh()
}
