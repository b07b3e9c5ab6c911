/**
 * The doors of the manager with their arguments checked: plain JavaScript, or a value that came with a request, may be anything
 * whatever the types say. Nothing of it is stored, and it is a typed error instead of a defect somewhere below.
 */
import { Effect, Schema } from "effect"
import { SagaResponse } from "../definition/SagaMessage.ts"
import { isSaga } from "../definition/SagaValue.ts"
import * as ExecutionSummary from "../ports/ExecutionSummary.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import * as Text from "../wire/Text.ts"
import { SagaInvalidArgument } from "./ManagerErrors.ts"
import type { Addressee, RunOptions, UntypedSignal } from "./ManagerOptions.ts"
import type { SagaManager } from "./ManagerService.ts"

/** Why an argument is refused; undefined: it is not. */
type Issue = SagaInvalidArgument | undefined

const invalid = (argument: string, issue: string): SagaInvalidArgument => new SagaInvalidArgument({ argument, issue })

const kindOf = (value: unknown): string => (value === null ? "null" : typeof value)

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

const object = (argument: string, value: unknown): Issue =>
  isObject(value) ? undefined : invalid(argument, `is ${kindOf(value)}, not an object`)

const text = (argument: string, value: unknown): Issue =>
  typeof value === "string" ? undefined : invalid(argument, `is ${kindOf(value)}, not a string`)

const flag = (argument: string, value: unknown): Issue =>
  value === undefined || typeof value === "boolean"
    ? undefined
    : invalid(argument, `is ${kindOf(value)}, not a boolean`)

/** A field of whatever was given. */
const fieldOf = (given: unknown, name: string): unknown => Reflect.get(Object(given), name)

/** An option that there is not: its default would hold in silence, and a start without its `startKey` is done twice. */
const stranger = <Options>(
  options: unknown,
  names: { readonly [Option in keyof Required<Options>]: true }
): { readonly option: string; readonly issue: string } | undefined => {
  const option = Object.keys(Object(options)).find((name) => !Object.hasOwn(names, name))
  if (option === undefined) return undefined
  const meant = Text.nearest(option, Object.keys(names))
  return { option, issue: `is no option${meant === undefined ? "" : `; is ${meant} meant?`}` }
}

const known = <Options>(options: unknown, names: { readonly [Option in keyof Required<Options>]: true }): Issue => {
  const found = stranger<Options>(options, names)
  return found === undefined ? undefined : invalid(found.option, found.issue)
}

const namesOfStart: { readonly [Option in keyof Required<RunOptions>]: true } = {
  context: true,
  uuid: true,
  startKey: true,
  user: true,
  deadline: true,
  autocommit: true,
  queue: true,
  key: true,
  priority: true,
  pauseOnDisk: true,
  raiseOnError: true,
  returnExecution: true
}

/** An object that has to fit a schema. A key that is undefined counts as absent. */
const fitting = (argument: string, schema: Schema.Codec<any>, value: unknown): Issue => {
  const given = isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, it]) => it !== undefined)) : value
  const decoded = JsonCodec.decodePlain(schema, given)
  return JsonCodec.isCodecIssue(decoded) ? invalid(argument, decoded.message) : undefined
}

const Response = Schema.Struct(SagaResponse.fields)

const start = (saga: unknown, options: unknown): Issue =>
  (typeof saga === "function" ? undefined : object("saga", saga)) ??
  text("saga.name", fieldOf(saga, "name")) ??
  object("options", options) ??
  known<RunOptions>(options, namesOfStart) ??
  (fieldOf(options, "uuid") === undefined ? undefined : text("uuid", fieldOf(options, "uuid"))) ??
  flag("autocommit", fieldOf(options, "autocommit"))

/** The person who acts. All stores keep the same texts. */
const who = (given: unknown, needs: ReadonlyArray<"actor" | "reason"> = []): Issue => {
  if (given === undefined && needs.length === 0) return undefined
  const field = (name: "actor" | "reason"): Issue => {
    const value = fieldOf(given, name)
    if (value === undefined && !needs.includes(name)) return undefined
    const issue = Text.issueOf(value, Text.maxBytes[name])
    return issue === undefined ? undefined : invalid(name, issue)
  }
  return object("who", given) ?? field("actor") ?? field("reason")
}

/** A response without a uuid has an error of its own. */
const response = (given: unknown, options: unknown): Issue =>
  object("response", given) ??
  (fieldOf(given, "uuid") === undefined ? undefined : fitting("response", Response, given)) ??
  (options === undefined ? undefined : object("options", options)) ??
  flag("autocommit", fieldOf(options, "autocommit"))

/** `resolveParked` of a saga: it looks into the saga and the step before the service sees the other arguments. */
export const resolving = (saga: unknown, options: unknown): Issue =>
  (isSaga(saga) ? undefined : invalid("saga", "is no saga")) ??
  object("options", options) ??
  text("step", fieldOf(options, "step"))

/** An option of `signal` that there is not. */
export const strangerOfSignal = (options: unknown) =>
  stranger<UntypedSignal>(options, { payload: true, key: true, id: true, actor: true, uuid: true, startKey: true })

/** `load` of a saga: the service sees the uuid only. */
export const loading = (saga: unknown, named: unknown): Issue => {
  const field = fieldOf(named, "startKey") === undefined ? "uuid" : "startKey"
  return (
    (isSaga(saga) ? undefined : invalid("saga", "is no saga")) ??
    object("options", named) ??
    known<Addressee>(named, { uuid: true, startKey: true }) ??
    text(field, fieldOf(named, field))
  )
}

/** The door, unless there is an issue. */
export const unless = <A, E, R>(
  issue: Issue,
  door: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SagaInvalidArgument, R> => (issue === undefined ? door() : Effect.fail(issue))

export const checked = (inner: Checked): Checked => ({
  run: (saga, options) => unless(start(saga, options), () => inner.run(saga, options)),
  start: (saga, options) => unless(start(saga, options), () => inner.start(saga, options)),
  execute: (saga, options) => unless(start(saga, options), () => inner.execute(saga, options)),
  resume: (given, options) => unless(response(given, options), () => inner.resume(given, options)),
  load: (uuid) => unless(text("uuid", uuid), () => inner.load(uuid)),
  find: (filter, page) =>
    unless(
      fitting("filter", ExecutionSummary.Filter, filter) ??
        (page === undefined ? undefined : fitting("page", ExecutionSummary.PageRequest, page)),
      () => inner.find(filter, page)
    ),
  cancel: (uuid, by) => unless(text("uuid", uuid) ?? who(by), () => inner.cancel(uuid, by)),
  commit: (uuid) => unless(text("uuid", uuid), () => inner.commit(uuid)),
  reject: (uuid, by) => unless(text("uuid", uuid) ?? who(by), () => inner.reject(uuid, by)),
  retryParked: (uuid, path, by) =>
    unless(text("uuid", uuid) ?? text("path", path) ?? who(by, ["actor"]), () => inner.retryParked(uuid, path, by)),
  resolveParked: (uuid, path, by) =>
    unless(text("uuid", uuid) ?? text("path", path) ?? who(by, ["actor", "reason"]), () =>
      inner.resolveParked(uuid, path, by)
    )
})

/** A signal checks its options itself; replies come from consumers, and starts by the calendar from schedules. */
type Checked = Omit<SagaManager["Service"], "events" | "reply" | "schedules" | "signal">
