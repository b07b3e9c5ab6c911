/**
 * The answers that a test gives in the name of services, by the paths of the steps that are answered. A step is answered once: the
 * repetitions of its request get the same answer.
 */
import { Schema } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import type { Definition, Remote, Request, SagaStep } from "../definition/SagaStep.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import type { Json } from "../wire/JsonLimits.ts"
import { line } from "../wire/OneLine.ts"
import { type Answer, toAnswer } from "./Answer.ts"

/** A step has asked a service, and the test says nothing in the name of that service. */
export class SagaTestReplyMissing extends Schema.TaggedError<SagaTestReplyMissing>()("SagaTestReplyMissing", {
  /** The name of the step, as `replies` has it; behind the name of a nested saga's step. */
  step: Schema.String,
  service: Schema.String,
  command: Schema.String
}) {
  override get message(): string {
    return line`No reply for the step ${this.step}: ${this.service} is asked to ${this.command}. Give one in replies, or a participant in layer`
  }
}

/** The answer of a test cannot be used: its step sends no request, or its value does not fit the schema of the reply. */
export class SagaTestReplyInvalid extends Schema.TaggedError<SagaTestReplyInvalid>()("SagaTestReplyInvalid", {
  step: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`The reply for the step ${this.step} cannot be used: ${this.issue}`
  }
}

export type ScriptError = SagaTestReplyMissing | SagaTestReplyInvalid

/** A remote step with its names: those of the nested sagas and the items around it, and its own. */
export interface Asking {
  readonly names: ReadonlyArray<string>
  readonly step: Remote
}

/**
 * The requests of a saga by the paths of their steps. Those of the sagas that it starts stand behind the names of these, and an
 * execution of such a saga is answered by the step that comes first.
 */
const askingSteps = (
  definition: Pick<Definition, "steps">,
  prefix = "",
  outer: ReadonlyArray<string> = [],
  starters: ReadonlySet<string> = new Set()
): ReadonlyMap<string, Asking> => {
  const found = new Map<string, Asking>()
  const visit = (path: string, step: SagaStep): void => {
    const names = [...outer, step.name]
    if (step._tag === "Remote") found.set(path, { names, step })
    else if (step._tag === "Nested" || step._tag === "ForEach") {
      const { steps } = step._tag === "Nested" ? step.saga : step
      for (const [inner, asking] of askingSteps({ steps }, SagaPath.sequences(step, path)[0]!.path, names, starters))
        found.set(inner, asking)
    } else if (step._tag === "Start") {
      if (starters.has(step.saga)) return
      const inside = askingSteps(step.definition(), "", names, new Set([...starters, step.saga]))
      for (const [inner, asking] of inside) {
        const key = inner.includes(behind) ? inner : `${step.saga}${behind}${inner}`
        if (!found.has(key)) found.set(key, asking)
      }
    } else for (const sequence of SagaPath.sequences(step, path)) visitAll(sequence)
  }
  const visitAll = ({ path, steps }: SagaPath.Sequence): void =>
    steps.forEach((step, i) => void visit(SagaPath.child(path, i), step))
  visitAll({ path: prefix, steps: definition.steps })
  return found
}

/** The sagas that a manager of a saga needs beside it: those that it starts. */
export const startedBy = (saga: AnyCommitted): ReadonlyArray<AnyCommitted> =>
  SagaPath.started(saga) as ReadonlyArray<AnyCommitted> // validation refuses others

/** Between the name of a saga that was started and the path of its step. */
const behind = ":"

/** What a test says about the step with these names, and whether it says anything: a reply may be `undefined`. */
const lookUp = (
  said: unknown,
  [name = "", ...names]: ReadonlyArray<string>
): { readonly reply: unknown } | undefined => {
  if (typeof said !== "object" || said === null || !Object.hasOwn(said, name)) return undefined
  const reply = (said as Readonly<Record<string, unknown>>)[name] // cast: the names of an object
  return names.length === 0 ? { reply } : lookUp(reply, names)
}

/** An answer in its encoded form, as a service gives it. */
export interface Line {
  readonly answer: Answer<unknown, unknown>
  /** The content of the reply or of the error. */
  readonly content: Json | undefined
}

const nothing: Line = { answer: toAnswer(undefined, undefined), content: undefined }

export class Script {
  readonly asking: ReadonlyMap<string, Asking>
  private readonly replies: unknown
  private readonly compensations: unknown
  private readonly said = new Map<string, Line | ScriptError>()
  private readonly definition: Definition
  /** The names of sagas, by the uuids of their executions. */
  private readonly sagas = new Map<string, string>()

  constructor(definition: Definition, replies: unknown = {}, compensations: unknown = {}) {
    this.definition = definition
    this.asking = askingSteps(definition, "", [], new Set([definition.name]))
    this.replies = replies
    this.compensations = compensations
  }

  /** The request of the step at a path of an execution: items have one in common. */
  askingAt(path: string): Asking | undefined {
    return this.asking.get(SagaPath.inDefinition(path))
  }

  /** An execution is stored. */
  readonly learn = (uuid: string, saga: string): void => void this.sagas.set(uuid, saga)

  /** The key of a step of an execution. */
  keyOf(uuid: string, path: string): string {
    const saga = this.sagas.get(uuid) ?? this.definition.name
    return saga === this.definition.name ? path : `${saga}${behind}${path}`
  }

  /** The services that the saga asks. */
  get services(): ReadonlyArray<string> {
    const all = Array.from(this.asking.values(), ({ step }) => [step.execute.service, step.compensate?.service])
    return [...new Set(all.flat())].filter((service) => service !== undefined)
  }

  /** The services in whose name the test says something. */
  get answering(): ReadonlyArray<string> {
    const all = Array.from(this.asking.values(), ({ names, step }) => [
      ...(lookUp(this.replies, names) === undefined ? [] : [step.execute.service]),
      ...(lookUp(this.compensations, names) === undefined ? [] : [step.compensate?.service])
    ])
    return [...new Set(all.flat())].filter((service) => service !== undefined)
  }

  /** The names of steps in the script that send no request. The compiler refuses them; plain JavaScript may have them. */
  get unknown(): SagaTestReplyInvalid | undefined {
    const known = Array.from(this.asking.values(), ({ names }) => names)
    const stray = (said: unknown, outer: ReadonlyArray<string>): string | undefined => {
      if (typeof said !== "object" || said === null) return undefined
      for (const [name, inner] of Object.entries(said)) {
        const names = [...outer, name]
        const under = known.filter((one) => names.every((each, i) => one[i] === each))
        if (under.length === 0) return names.join(".")
        const found = under.some((one) => one.length === names.length) ? undefined : stray(inner, names)
        if (found !== undefined) return found
      }
      return undefined
    }
    const step = stray(this.replies, []) ?? stray(this.compensations, [])
    return step === undefined
      ? undefined
      : new SagaTestReplyInvalid({ step, issue: "no step of that name sends a request" })
  }

  /** The answer to a request of the step at a path. `id` is that of the message. */
  answer(id: string, path: string, op: "execute" | "failure", content: unknown): Line | ScriptError {
    const known = this.said.get(id)
    if (known !== undefined) return known
    const line = this.make(path, op, content)
    this.said.set(id, line)
    return line
  }

  /** The answer that was given to a message; undefined: none was. */
  given(id: string | undefined): Line | undefined {
    const line = this.said.get(id ?? "")
    return line !== undefined && "answer" in line ? line : undefined
  }

  private make(path: string, op: "execute" | "failure", content: unknown): Line | ScriptError {
    const asking = this.askingAt(path)
    const request = op === "execute" ? asking?.step.execute : asking?.step.compensate
    // A message of a saga that the test does not run.
    if (asking === undefined || request === undefined) return nothing
    const step = asking.names.join(".")
    const found = lookUp(op === "execute" ? this.replies : this.compensations, asking.names)
    if (found === undefined) {
      const { command, service } = request
      return op === "execute" ? new SagaTestReplyMissing({ step, service, command }) : nothing
    }
    const said = told(found.reply, payloadOf(request, content))
    if (typeof said === "string") return new SagaTestReplyInvalid({ step, issue: said })
    const encoded = encodedOf(op === "execute" ? request : undefined, said)
    return JsonCodec.isCodecIssue(encoded)
      ? new SagaTestReplyInvalid({ step, issue: encoded.message })
      : { answer: said, content: encoded }
  }
}

/** The answer of a function, or why there is none. */
const told = (reply: unknown, payload: unknown): Answer<unknown, unknown> | string => {
  // The function of a test may throw.
  try {
    return toAnswer(reply, payload)
  } catch (error) {
    return `its function threw ${String(error)}`
  }
}

/** The payload of a request, decoded; as it is where it does not fit. */
export const payloadOf = (request: Request, content: unknown): unknown => {
  const payload = JsonCodec.decode(request.payload, content)
  return JsonCodec.isCodecIssue(payload) ? content : payload
}

const encodedOf = (request: Request | undefined, { says }: Answer<unknown, unknown>) => {
  switch (says._tag) {
    case "Reply":
      return request === undefined ? undefined : JsonCodec.encode(request.success, says.value)
    case "Error":
      return JsonCodec.encode(request?.error ?? Schema.Unknown, says.error)
    default:
      return undefined
  }
}
