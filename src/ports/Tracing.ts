/**
 * Spans of the library, through the tracer that the program provides. Without one nothing of this costs anything: no span, no
 * attribute and no text is made. A span is short, and ends with its boundary: none lives as long as an execution.
 */
import { Clock, Context, Effect, Exit, type Fiber, Layer, LogLevel, Option, References, Tracer } from "effect"
import * as Setting from "./Setting.ts"

/**
 * How the activations of an execution belong together. An activation is what a process does with an execution in one go: from
 * its start, or from a reply, a time or an input, to where it waits.
 *
 * - `linked`: each activation after the first is a trace of its own, with links to the start and to the one before. For sagas
 *   that last: no trace has thousands of spans, or takes days.
 * - `nested`: all activations are in the trace of the start. For short sagas.
 * - `off`: no spans.
 */
export type Mode = "linked" | "nested" | "off"

export interface Tracing {
  /** The mode of a saga. */
  readonly modeOf: (saga: string) => Mode
}

/** Default: `linked` for all sagas. Spans are made only where the program provides a tracer, by a layer or an effect. */
export const SagaTracing = Context.Reference<Tracing>("effect-saga/SagaTracing", {
  defaultValue: () => ({ modeOf: () => "linked" })
})

const modes: ReadonlyArray<string> = ["linked", "nested", "off"] satisfies ReadonlyArray<Mode>

const checked = (setting: string, mode: Mode): Effect.Effect<void, Setting.InvalidSetting> =>
  modes.includes(mode)
    ? Effect.void
    : Effect.fail(new Setting.InvalidSetting({ setting, issue: `it must be one of ${modes.join(", ")}` }))

/**
 * How the executions of this process are traced. `sagas`: other modes, by the names of sagas; a name that no saga has changes
 * nothing. Fails with `InvalidSetting` for a mode that there is not.
 *
 * @example
 * ```ts
 * const Traces = SagaTracing.layer("linked", { PlaceOrder: "nested" })
 * ```
 */
export const layer = (
  mode: Mode,
  sagas: Readonly<Record<string, Mode>> = {}
): Layer.Layer<never, Setting.InvalidSetting> =>
  Layer.effect(
    SagaTracing,
    Effect.gen(function* () {
      yield* checked("SagaTracing.mode", mode)
      // Names of sagas may be any: an object is all that is checked.
      const others = Object.entries(yield* Setting.known("SagaTracing.sagas", sagas, sagas))
      for (const [saga, its] of others) yield* checked(`SagaTracing.sagas.${saga}`, its)
      const ofSagas = new Map(others)
      return { modeOf: (saga: string) => ofSagas.get(saga) ?? mode }
    })
  )

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Whether the program of the fiber has a tracer that gets spans. The one that Effect has by itself gives them to nobody. */
export const isOn = ({ cache }: AnyFiber): boolean => cache.tracer !== undefined && cache.tracerEnabled

export interface SpanOptions {
  readonly kind?: Tracer.SpanKind
  /** Undefined: a trace of its own. */
  readonly parent: Tracer.AnySpan | undefined
  readonly links?: ReadonlyArray<Tracer.AnySpan>
  readonly attributes: Readonly<Record<string, string | number | undefined>>
  /** Milliseconds since the epoch. Default: now. */
  readonly startedAt?: number
}

/** Begins a span. Only where `isOn`. A trace that is not sampled stays so: `links` and `parent` decide. */
export const begin = (fiber: AnyFiber, name: string, options: SpanOptions): Tracer.Span => {
  const { attributes, kind = "internal", links = [], parent, startedAt } = options
  const tracer = fiber.cache.tracer ?? Tracer.nativeTracer
  const from = parent ?? links[0]
  const span = tracer.span({
    name,
    kind,
    parent: parent === undefined ? Option.none() : Option.some(parent),
    root: parent === undefined,
    annotations: Context.empty(),
    links: links.map((span) => ({ span, attributes: {} })),
    startTime: startedAt === undefined ? nanosOf(fiber) : nanosAt(startedAt),
    sampled: from?.sampled !== false && !LogLevel.isGreaterThan(fiber.getRef(References.MinimumTraceLevel), "Info")
  })
  if (!span.sampled) return span
  const own = fiber.getRef(References.TracerSpanAnnotations)
  for (const key in own) span.attribute(key, own[key])
  for (const key in attributes) if (attributes[key] !== undefined) span.attribute(key, attributes[key])
  return span
}

/** What became of the work of a span. `error`: the tag of its error, never the error itself: it may hold values. */
export interface Outcome {
  readonly outcome: string
  readonly error?: string | undefined
}

/** Ends a span, once. `at`: milliseconds since the epoch; default: now. */
export const end = (
  span: Tracer.Span,
  clock: Pick<Clock.Clock, "currentTimeNanosUnsafe">,
  { error, outcome }: Outcome,
  at?: number
): void => {
  if (span.status._tag === "Ended") return
  span.attribute("saga.outcome", outcome)
  if (error !== undefined) span.attribute("error.type", error)
  const time = at === undefined ? clock.currentTimeNanosUnsafe() : nanosAt(at)
  span.end(time, error === undefined ? Exit.void : Exit.fail(error))
}

const nanosOf = (fiber: AnyFiber): bigint => fiber.getRef(Clock.Clock).currentTimeNanosUnsafe()

const nanosAt = (millis: number): bigint => BigInt(Math.round(millis)) * 1_000_000n

// ---- W3C -----------------------------------------------------------------------------------------------------------

/** The W3C context of a span (`traceparent`), as it is stored and sent. */
export const contextOf = ({ sampled, spanId, traceId }: Tracer.AnySpan): string =>
  `00-${traceId.padStart(32, "0")}-${spanId.padStart(16, "0")}-${sampled ? "01" : "00"}`

const pattern = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/u
const nothing = /^0+$/u

/** The span of a W3C context. Undefined for a text that is none: it may come from anybody. */
export const spanOf = (context: string | undefined): Tracer.ExternalSpan | undefined => {
  if (context === undefined || context.length !== 55) return undefined
  const [, traceId, spanId, flags] = pattern.exec(context) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (nothing.test(traceId) || nothing.test(spanId)) return undefined
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 })
}

/** The id of the trace of a context, as tools for traces search for it. */
export const traceIdOf = (context: string | undefined): string | undefined => spanOf(context)?.traceId

// ---- messages ------------------------------------------------------------------------------------------------------

/** The attributes of the messaging conventions. The template has few values, whoever the services are. */
export const messaging = (
  type: "send" | "process",
  { id, system, uuid }: { readonly id: string; readonly system: string; readonly uuid: string }
): Readonly<Record<string, string>> => ({
  "messaging.system": system,
  "messaging.operation.type": type,
  "messaging.destination.template": "saga/v1/{to}/{kind}/{from}/{command}",
  "messaging.message.id": id,
  "messaging.message.conversation_id": uuid
})

/** The system of a transport that does not say it. */
export const unknownSystem = "effect-saga"
