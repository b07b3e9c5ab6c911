/**
 * Every metric of the library: its name, its labels, and its meaning. Times are in seconds. A label never has a uuid, and the
 * number of its values is bounded: names come from definitions, and names from outside count as `other` once there are many.
 */
import { Context, Effect, Metric, type Scope } from "effect"

/** Combinations of values that one metric has, at most; more of them count as `other`. */
export const maxSeries = 1_000

/** The value of a label whose names are too many, or that is no name. */
export const other = "other"

/** From 1 ms to ten days: a saga may take both. */
const seconds: ReadonlyArray<number> = [
  0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600, 21_600, 86_400, 864_000
]

/** Rows in one statement. */
const rows: ReadonlyArray<number> = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

type Kind = "counter" | "gauge" | "histogram"

/** Short texts without spaces and control characters. Whatever else comes from outside is no label: it may be a secret. */
const isLabel = (text: string): boolean => /^[\w.:/ -]{0,128}$/u.test(text)

type AnyMetric = Metric.Metric<number, unknown>

/** One combination of labels. To count here is to add to a number: Effect's own update looks the series up each time. */
export interface Series {
  /** Adds to a counter, sets a gauge, or notes a value of a histogram. */
  note(value: number): void
  /** As exporters read it. */
  state(): unknown
}

class Counter implements Series {
  private count = 0

  note(value: number): void {
    this.count += value
  }

  state(): unknown {
    return { count: this.count, incremental: true }
  }
}

class Gauge implements Series {
  private value = 0

  note(value: number): void {
    this.value = value
  }

  state(): unknown {
    return { value: this.value }
  }
}

class Histogram implements Series {
  private readonly boundaries: ReadonlyArray<number>
  private readonly counts: Float64Array
  private count = 0
  private sum = 0
  private min = Number.MAX_VALUE
  private max = -Number.MAX_VALUE

  constructor(boundaries: ReadonlyArray<number>) {
    this.boundaries = boundaries
    this.counts = new Float64Array(boundaries.length + 1)
  }

  note(value: number): void {
    const { boundaries, counts } = this
    let i = 0
    while (i < boundaries.length && value > boundaries[i]!) i++
    counts[i] = counts[i]! + 1
    this.count++
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
  }

  state(): unknown {
    const { boundaries, count, counts, max, min, sum } = this
    let below = 0
    const buckets = boundaries.map((boundary, i) => {
      below += counts[i]!
      return [boundary, below] as const
    })
    return { buckets, count, min, max, sum }
  }
}

/** The series of a metric in one registry: for who notes often, and keeps it. */
export class Registered {
  private readonly family: Family
  private readonly context: Context.Context<never>
  /** By the values of the first, the second and the third label. */
  private readonly series = new Map<string, Map<string, Map<string, Series>>>()
  private size = 0

  constructor(family: Family, context: Context.Context<never>) {
    this.family = family
    this.context = context
  }

  /** Adds to a counter, sets a gauge, or notes a value of a histogram. The labels are in the order of the metric. */
  update(value: number, first = "", second = "", third = ""): void {
    this.at(first, second, third).note(value)
  }

  /** The series of these labels, which exporters see from now on. Who notes there often keeps it, and looks nothing up. */
  at(first = "", second = "", third = ""): Series {
    return this.series.get(first)?.get(second)?.get(third) ?? this.make(first, second, third)
  }

  private make(...values: readonly [string, string, string]): Series {
    const { labels, labelled, series } = this.family
    const isFull = this.size >= maxSeries
    const shown = values.map((value, i) => (i >= labels.length || (!isFull && isLabel(value)) ? value : other))
    const [first = "", second = "", third = ""] = shown
    const seconds = this.series.get(first) ?? new Map<string, Map<string, Series>>()
    const thirds = seconds.get(second) ?? new Map<string, Series>()
    const known = thirds.get(third)
    if (known !== undefined) return known
    const made = series()
    const note = (value: number) => made.note(value)
    Metric.registerUnsafe(labelled(shown), this.context, { get: () => made.state(), update: note, modify: note })
    this.size++
    this.series.set(first, seconds.set(second, thirds.set(third, made)))
    return made
  }
}

/** A metric with its labels. */
export class Family {
  readonly name: string
  readonly kind: Kind
  readonly labels: ReadonlyArray<string>
  readonly description: string
  readonly series: () => Series
  private readonly metric: AnyMetric
  private readonly registered = new WeakMap<object, Registered>()

  constructor(name: string, kind: Kind, labels: ReadonlyArray<string>, description: string, boundaries = seconds) {
    this.name = name
    this.kind = kind
    this.labels = labels
    this.description = description
    switch (kind) {
      case "counter":
        this.metric = Metric.counter(name, { description, incremental: true })
        this.series = () => new Counter()
        break
      case "gauge":
        this.metric = Metric.gauge(name, { description })
        this.series = () => new Gauge()
        break
      case "histogram":
        this.metric = Metric.histogram(name, { description, boundaries })
        this.series = () => new Histogram(boundaries)
    }
  }

  readonly labelled = (values: ReadonlyArray<string>): AnyMetric =>
    Metric.withAttributes(this.metric, Object.fromEntries(this.labels.map((label, i) => [label, values[i] ?? other])))

  /** The series in the registry of a program. */
  within(context: Context.Context<never>): Registered {
    const registry = Context.get(context, Metric.MetricRegistry)
    const known = this.registered.get(registry)
    if (known !== undefined) return known
    const made = new Registered(this, context)
    this.registered.set(registry, made)
    return made
  }

  /** `Registered.update` in the registry of a program. */
  update(context: Context.Context<never>, value: number, first?: string, second?: string, third?: string): void {
    this.within(context).update(value, first, second, third)
  }

  /** A gauge that is read when it is asked for, until the scope closes. */
  read(get: () => number, first?: string): Effect.Effect<void, never, Scope.Scope> {
    const acquired = Effect.contextWith((context: Context.Context<never>) =>
      Effect.sync(() =>
        Metric.registerUnsafe(this.labelled(first === undefined ? [] : [first]), context, {
          get: () => ({ value: get() }),
          update: () => {},
          modify: () => {}
        })
      )
    )
    return Effect.asVoid(Effect.acquireRelease(acquired, (registration) => Effect.sync(() => registration.remove())))
  }
}

const all: Array<Family> = []

const family =
  (kind: Kind, boundaries?: ReadonlyArray<number>) =>
  (name: string, labels: ReadonlyArray<string>, description: string): Family => {
    const made = new Family(name, kind, labels, description, boundaries)
    all.push(made)
    return made
  }

const counter = family("counter")
const gauge = family("gauge")
const times = family("histogram")
const sizes = family("histogram", rows)

/** Every metric, in the order of this file. */
export const families: ReadonlyArray<Family> = all

// ---- executions of this process ------------------------------------------------------------------------------------

export const started = counter("effect_saga_started", ["saga"], "Executions that were started")
export const settled = counter(
  "effect_saga_settled",
  ["saga", "outcome"],
  "Executions that are over: finished or errored"
)
export const duration = times("effect_saga_duration", ["saga"], "From the start of an execution to its settlement")
export const stepDuration = times(
  "effect_saga_step_duration",
  ["saga", "step"],
  "From the start of a step to its result or failure"
)
export const stepFailures = counter(
  "effect_saga_step_failures",
  ["saga", "step", "error"],
  "Steps that failed, by the tag of the error"
)
export const undoAttempts = counter(
  "effect_saga_undo_attempts",
  ["saga", "step", "outcome"],
  "Compensations that were tried: undone, failed or parked"
)
export const running = gauge("effect_saga_running", ["service"], "Executions that have a runner")
export const pending = gauge(
  "effect_saga_pending",
  ["service"],
  "Executions that this process has: running, and waiting for a place"
)
export const queued = gauge("effect_saga_queued", ["service"], "Executions and starts that wait for a place")
export const wakeLag = times(
  "effect_saga_wake_lag",
  ["service"],
  "From when an execution was due to when a process has taken it"
)
export const unreadable = gauge(
  "effect_saga_unreadable",
  ["service", "saga"],
  "Executions that this process has found and cannot read: they wait for a program that can"
)

// ---- messages ------------------------------------------------------------------------------------------------------

export const replySeconds = times("effect_saga_reply_seconds", ["service", "command"], "From a request to its reply")
export const resends = counter("effect_saga_resends", ["service"], "Messages that were sent again")
export const unrouted = counter(
  "effect_saga_unrouted",
  ["service"],
  "Messages that the broker took and that nobody got"
)
export const messages = counter(
  "effect_saga_messages_total",
  ["outcome"],
  "Messages that were acknowledged, by outcome"
)
export const droppedServices = counter(
  "effect_saga_related_services_dropped_total",
  [],
  "Related services in replies to steps behind a pivot, which join no transaction"
)
export const deadLetters = counter("effect_saga_dead_letters", ["reason"], "Messages that were put away, by reason")
export const mqttConnected = gauge(
  "effect_saga_mqtt_connected",
  ["connection"],
  "1: the connection to the MQTT broker stands; 0: it does not"
)
export const mqttRefused = counter(
  "effect_saga_mqtt_refused_total",
  ["reason"],
  "Messages that the MQTT broker did not take, by reason"
)

export const natsConnected = gauge(
  "effect_saga_nats_connected",
  ["connection"],
  "1: the connection to the NATS server, or a subscription over it, stands; 0: it does not"
)
export const natsRefused = counter(
  "effect_saga_nats_refused_total",
  ["reason"],
  "Messages that the NATS server did not take, by reason"
)

// ---- participants --------------------------------------------------------------------------------------------------

export const participantHandled = counter(
  "effect_saga_participant_handled",
  ["service", "command", "status"],
  "Messages that a participant has handled, by the status of the reply"
)
export const participantDuration = times(
  "effect_saga_participant_duration",
  ["service", "command"],
  "From the delivery of a message to its reply"
)
export const participantInFlight = gauge(
  "effect_saga_participant_in_flight",
  ["service"],
  "Messages that a participant is handling"
)
export const unitTimeouts = counter(
  "effect_saga_unit_timeouts",
  ["service", "command"],
  "Units of work of participants that ran into their time"
)
export const inDoubt = gauge(
  "effect_saga_in_doubt",
  ["service"],
  "Transactions that are reserved and whose coordinator has been silent for long"
)

// ---- storage -------------------------------------------------------------------------------------------------------

export const leaseLost = counter(
  "effect_saga_lease_lost",
  ["service"],
  "Leases that were over before they were renewed"
)
export const writeSeconds = times("effect_saga_write_seconds", [], "How long a statement that stores executions takes")
export const writeBatchSize = sizes("effect_saga_write_batch_size", [], "Executions that one statement stores")
export const connectionsInUse = gauge(
  "effect_saga_connections_in_use",
  ["use"],
  "Connections of the shared part of the pool that are in use, by use"
)
export const connectionsWaiting = gauge(
  "effect_saga_connections_waiting",
  ["use"],
  "Statements and transactions that wait for a connection of the shared part of the pool, by use"
)

// ---- all that is stored (the collector) ----------------------------------------------------------------------------

export const executions = gauge("effect_saga_executions", ["saga", "status"], "Stored executions")
export const parked = gauge("effect_saga_parked", ["saga"], "Stored executions that wait for a person")
export const stalled = gauge(
  "effect_saga_stalled",
  ["saga"],
  "Stored executions whose decision a service does not acknowledge, or contradicts"
)
export const overdue = gauge(
  "effect_saga_overdue",
  ["saga"],
  "Stored executions that are due, and that no process takes"
)
export const oldestWaiting = gauge(
  "effect_saga_oldest_waiting",
  ["saga"],
  "How long the execution that waits longest has waited"
)
export const drifted = gauge(
  "effect_saga_drifted",
  ["saga"],
  "Stored executions whose saga this program has in another form"
)
