/**
 * The services that a saga asks, played by a script. They are participants of the library, with its records and its two-phase
 * commit; only their handlers say what the script says, and silence, lateness and repetition happen on the way, in the broker.
 */
import { Clock, type Context, Duration, Effect, Layer, References, Result, Schema, type Scope, Stream } from "effect"
import type * as Command from "../definition/Command.ts"
import type { Request } from "../definition/SagaStep.ts"
import * as Participant from "../participant/Participant.ts"
import * as Broker from "../ports/Broker.ts"
import type { ParticipantStore } from "../ports/ParticipantStore.ts"
import { SagaTransaction } from "../ports/SagaTransaction.ts"
import type { Envelope } from "../wire/Envelope.ts"
import { payloadOf, type Script, type ScriptError } from "./Script.ts"

/** A command that the saga has sent: to do something, or to compensate it. */
export interface Sent {
  /** The name of the step, behind the names of the nested sagas around it: `payment`, `order.payment`. */
  readonly step: string
  readonly does: "execute" | "compensate"
  readonly service: string
  readonly command: string
  /** The payload, decoded. */
  readonly payload: unknown
  /** How long after the start it was sent. Its repetitions are not listed. */
  readonly after: Duration.Duration
}

export class ScriptedServices {
  private readonly script: Script
  private readonly inner: Broker.Broker["Service"]
  private readonly begin: number
  private readonly scope: Scope.Scope
  /** Services that the script plays. */
  private readonly played: Set<string>
  private readonly seen = new Set<string>()
  /** When the first reply to a request is to come. */
  private readonly due = new Map<string, number>()
  /** What gives the answers that come later, by the services. */
  private readonly answers = new Map<string, Context.Context<never>>()
  readonly sent: Array<Sent> = []
  /** Why the run cannot go on. */
  failure: ScriptError | undefined

  constructor(script: Script, inner: Broker.Broker["Service"], begin: number, scope: Scope.Scope) {
    this.script = script
    this.inner = inner
    this.begin = begin
    this.scope = scope
    this.played = new Set(script.answering)
  }

  /** For the manager and the scripted services. */
  get broker(): Broker.Broker["Service"] {
    return { ...this.inner, publish: this.publish }
  }

  /** For the participants of the test: none of them answers in the name of a service that the script plays. */
  get brokerOfOthers(): Broker.Broker["Service"] {
    return {
      ...this.broker,
      subscribe: (group) =>
        this.played.has(group.service) && group.kinds.some((kind) => kind === "command" || kind === "tx")
          ? Stream.never
          : this.inner.subscribe(group)
    }
  }

  /** The services that nobody else plays, and those that the script answers for. */
  readonly layer: Effect.Effect<Layer.Layer<never, never, ParticipantStore>> = Effect.sync(() => {
    for (const service of this.script.services) if (this.inner.isUnheard?.(service) === true) this.played.add(service)
    const layers = Array.from(this.played, (service) => this.participant(service))
    return Layer.mergeAll(Layer.empty, ...layers).pipe(Layer.provide(Layer.succeed(Broker.Broker, this.broker)))
  })

  private participant(service: string) {
    const commands: Record<string, Command.Any> = {}
    const handlers: Record<string, unknown> = {}
    const add = (request: Request | undefined): void => {
      if (request?.service !== service) return
      const { command, effect, later, probe } = request
      // What goes over the wire is encoded by the script, with the schemas of each step.
      const schemas = { payload: Schema.Unknown, success: Schema.Unknown, error: Schema.Unknown }
      const spec = { participant: service, tag: command, effect, probe, ...schemas }
      if (later === true) {
        const answersLater: Command.AnyLater = { ...spec, answer: "later" }
        commands[command] = answersLater
        handlers[command] = this.accepting(answersLater)
      } else {
        commands[command] = spec
        handlers[command] = () => this.handle
      }
    }
    for (const { step } of this.script.asking.values()) {
      add(step.execute)
      add(step.compensate)
    }
    const contract = { name: service, commands, probe: true }
    // A death that the test asked for is nothing to log.
    return Participant.layer(contract, handlers as Participant.Handlers<typeof commands>).pipe(
      Layer.tap((answers) => Effect.sync(() => void this.answers.set(service, answers))),
      Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
    )
  }

  /** A command that answers later is accepted at once, and its answer is given when the script says. */
  private accepting(command: Command.AnyLater) {
    const accept = (_: unknown, id: string) =>
      Effect.suspend(() => {
        const answers = this.answers.get(command.participant) as Context.Context<Participant.ParticipantAnswers<string>>
        const answered = Participant.answer(command, id, this.handle).pipe(
          Effect.provideContext(answers),
          // The saga does not wait for it any more.
          Effect.ignore,
          Effect.delay(this.script.given(id)?.answer.after ?? 0)
        )
        return Effect.asVoid(Effect.forkIn(answered, this.scope))
      })
    return { accept, cancelled: () => Effect.void }
  }

  private readonly handle = SagaTransaction.use(({ idempotencyKey }): Effect.Effect<unknown, unknown> => {
    const line = this.script.given(idempotencyKey)
    switch (line?.answer.says._tag) {
      case "Death":
        return Effect.die("the service died, as the test says")
      case "Error":
        return Effect.fail(line.content)
      default:
        return Effect.succeed(line?.content)
    }
  })

  private readonly publish: Broker.Broker["Service"]["publish"] = (message) => {
    const { from, kind, to } = message.address
    if (kind !== "command" && kind !== "reply") return this.inner.publish(message)
    const read = Broker.read(message)
    if (Result.isFailure(read)) return this.inner.publish(message)
    if (kind === "reply") return this.played.has(from) ? this.reply(message, read.success) : this.inner.publish(message)
    return Clock.clockWith((clock) => {
      const { op, path: own, saga } = read.success
      const path = own === undefined ? undefined : this.script.keyOf(saga, own)
      if (path === undefined || (op !== "execute" && op !== "failure")) return this.inner.publish(message)
      this.note(read.success, path, op, clock.currentTimeMillisUnsafe())
      return this.played.has(to) ? this.request(message, read.success, path, op) : this.inner.publish(message)
    })
  }

  private note({ content, id }: Envelope, path: string, op: "execute" | "failure", now: number): void {
    const asking = this.script.askingAt(path)
    const request = op === "execute" ? asking?.step.execute : asking?.step.compensate
    if (this.seen.has(id) || asking === undefined || request === undefined) return
    this.seen.add(id)
    this.sent.push({
      step: asking.names.join("."),
      does: op === "execute" ? "execute" : "compensate",
      service: request.service,
      command: request.command,
      payload: payloadOf(request, content),
      after: Duration.millis(now - this.begin)
    })
  }

  private request(message: Broker.Message, { content, id }: Envelope, path: string, op: "execute" | "failure") {
    const line = this.script.answer(id, path, op, content)
    if (!("answer" in line)) {
      this.failure ??= line
      return Effect.void
    }
    return line.answer.says._tag === "Silence" ? Effect.void : this.inner.publish(message)
  }

  /** A late reply comes when it is due; so do the replies to repetitions of the request. */
  private reply(message: Broker.Message, { inReplyTo, path, saga, status }: Envelope) {
    const line = this.script.given(inReplyTo)
    if (line === undefined || inReplyTo === undefined || status === 202) return this.inner.publish(message)
    const { after, copies } = line.answer
    const all = Effect.repeat(this.inner.publish(message), { times: copies - 1 })
    const asking = path === undefined ? undefined : this.script.askingAt(this.script.keyOf(saga, path))
    // It was answered when its time had come.
    if (asking?.step.execute.later === true && inReplyTo.includes(":execute")) return all
    return Clock.clockWith((clock) => {
      const now = clock.currentTimeMillisUnsafe()
      const due = this.due.get(inReplyTo)
      if (due !== undefined) return due <= now ? all : Effect.void
      const wait = Duration.toMillis(after)
      this.due.set(inReplyTo, now + wait)
      return wait === 0 ? all : Effect.asVoid(Effect.forkIn(Effect.delay(all, wait), this.scope))
    })
  }
}
