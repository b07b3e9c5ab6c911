/**
 * The other end of a remote step: a service that answers the commands of its contract. A command runs at most once per
 * message: its reply is recorded, and a duplicate gets the recorded reply (SPEC C6, for messages without a transaction).
 */
import { Cause, Clock, Deferred, Effect, Exit, Layer, Stream } from "effect"
import type * as Command from "../definition/Command.ts"
import type { Participant } from "../definition/Participant.ts"
import * as Encoding from "../execution/Encoding.ts"
import { type Envelope, messageId, reply } from "../execution/Envelope.ts"
import type { Json } from "../execution/Json.ts"
import * as Broker from "../ports/Broker.ts"
import { count, untilHandled } from "./SagaService.ts"
import { SagaTransaction } from "./SagaTransaction.ts"

export * from "../definition/Participant.ts"

/** One handler for each command; its payload, result and error are those of the contract. */
export type Handlers<Commands extends Record<string, Command.Any>> = {
  readonly [Tag in keyof Commands]: Commands[Tag] extends Command.Command<
    any,
    any,
    infer Payload,
    infer Success,
    infer Error
  >
    ? (payload: Payload) => Effect.Effect<Success, Error, any>
    : never
}

/** The services that handlers need. */
export type ServicesOf<H> = {
  [Tag in keyof H]: H[Tag] extends (...args: Array<any>) => Effect.Effect<any, any, infer R> ? R : never
}[keyof H]

interface Answer {
  readonly status: 200 | 400 | 404 | 500
  readonly content?: Json
}

/** What is known of an execute message: an answer, or that one is on its way. */
interface Barrier {
  readonly answer: Deferred.Deferred<Answer>
  readonly forgetAfter: number
}

/** Clocks of two machines may differ by this much, in milliseconds (SPEC A4). */
const maxSkew = 300_000

/** Commands handled at the same time. */
const maxInFlight = 64

const make = Effect.fnUntraced(function* (
  contract: Participant<string, Record<string, Command.Any>>,
  handlers: Record<string, (payload: any) => Effect.Effect<any, any, any>>
) {
  const broker = yield* Broker.Broker
  const barriers = new Map<string, Barrier>()

  /** Forgets what can no longer be delivered: nothing runs after `notAfter` (SPEC C14). */
  const purge = (now: number): void => {
    for (const [id, { forgetAfter }] of barriers) {
      // Insertion order is nearly the order of expiry; what is behind a later one waits for it.
      if (forgetAfter > now) return
      barriers.delete(id)
    }
  }

  const messageOf = (to: Envelope, answer: Answer): Broker.Message =>
    Broker.toMessage(reply(to, { ...answer, relatedServices: [contract.name] }))

  /** Runs `work` unless the message id is known; then gives what is known. */
  const once = Effect.fnUntraced(function* (id: string, notAfter: number, work: Effect.Effect<Answer>) {
    const known = barriers.get(id)
    if (known !== undefined) return yield* Deferred.await(known.answer)
    const answer = Deferred.makeUnsafe<Answer>()
    barriers.set(id, { answer, forgetAfter: notAfter + maxSkew })
    const exit = yield* Effect.exit(work)
    // An interrupted handler is not an answer: the message is delivered again, and runs again.
    if (Exit.isFailure(exit)) barriers.delete(id)
    Deferred.doneUnsafe(answer, exit)
    return yield* exit
  })

  const run = (envelope: Envelope, name: string | undefined): Effect.Effect<Answer> => {
    const isOwn = name !== undefined && Object.hasOwn(contract.commands, name) && Object.hasOwn(handlers, name)
    const command = isOwn ? contract.commands[name] : undefined
    const handler = isOwn ? handlers[name] : undefined
    if (command === undefined || handler === undefined) return Effect.succeed(refused("UnknownCommand"))
    if (command.effect === "staged") return Effect.succeed(refused("StagedOutsideTransaction"))
    const payload = Encoding.decode(command.payload, envelope.content)
    if (Encoding.isEncodingIssue(payload)) return Effect.succeed(refused("PayloadMalformed"))
    const transaction: SagaTransaction = {
      uuid: envelope.saga,
      saga: envelope.coordinator,
      path: envelope.path ?? "",
      idempotencyKey: envelope.id,
      epoch: 0,
      user: envelope.user,
      headers: envelope.headers ?? {}
    }
    // The services of a handler are erased here; `layer` requires them, and the consumer's fiber has them.
    const handled = Effect.provideService(
      Effect.suspend(() => handler(payload)),
      SagaTransaction,
      transaction
    ) as Effect.Effect<unknown, unknown>
    return Effect.exit(handled).pipe(
      Effect.flatMap((exit) => answerOf(command, exit)),
      // What its receiver would not read is no answer (SPEC C11).
      Effect.flatMap((answered) =>
        Effect.match(Broker.decode(messageOf(envelope, answered)), {
          onSuccess: () => answered,
          onFailure: () => refused("ReplyMalformed")
        })
      )
    )
  }

  /** The compensation of a path: nothing to undo unless its execute was answered 200; then once, until it succeeds. */
  const undo = Effect.fnUntraced(function* (envelope: Envelope, name: string | undefined): Effect.fn.Return<Answer> {
    const executed = yield* recorded(envelope)
    if (executed.status !== 200) return { status: 200 }
    const answer = yield* run(envelope, name)
    return answer.status === 400
      ? { status: 500, ...(answer.content !== undefined && { content: answer.content }) }
      : answer
  })

  /** The answer of the execute of the same path; where there is none, there never will be one. */
  const recorded = (envelope: Envelope): Effect.Effect<Answer> =>
    once(
      messageId(envelope.saga, envelope.path ?? "", "execute"),
      envelope.notAfter,
      Effect.succeed<Answer>({ status: 500, content: "Refused" })
    )

  const answer = Effect.fnUntraced(function* (
    envelope: Envelope,
    name: string | undefined
  ): Effect.fn.Return<Answer | undefined> {
    const now = yield* Clock.currentTimeMillis
    purge(now)
    switch (envelope.op) {
      case "execute":
        return yield* once(
          envelope.id,
          envelope.notAfter,
          now > envelope.notAfter ? Effect.succeed(refused("Expired")) : run(envelope, name)
        )
      case "failure": {
        const undone = yield* once(envelope.id, envelope.notAfter, undo(envelope, name))
        // A failed compensation is not recorded: the next delivery runs it again.
        if (undone.status !== 200) barriers.delete(envelope.id)
        return undone
      }
      case "probe": {
        const executed = yield* recorded(envelope)
        return executed.status === 500 ? { status: 404 } : executed
      }
      default:
        return undefined
    }
  })

  const handle = Effect.fnUntraced(function* (delivery: Broker.Delivery) {
    const envelope = yield* Effect.catchTag(
      Broker.decode(delivery),
      ["MessageTooLarge", "MessageMalformed", "SenderMismatch"],
      (error) =>
        Effect.as(
          Effect.logWarning("A message was dropped", { outcome: error._tag, from: delivery.address.from }),
          error._tag
        )
    )
    if (typeof envelope === "string") {
      yield* count(envelope)
      return yield* delivery.acknowledge
    }
    const answered = yield* answer(envelope, delivery.address.name)
    if (answered !== undefined) yield* Effect.retry(broker.publish(messageOf(envelope, answered)), untilHandled)
    yield* count(answered === undefined ? "MessageMalformed" : "applied")
    yield* delivery.acknowledge
  })

  yield* broker.subscribe({ service: contract.name, kinds: ["command"], maxInFlight }).pipe(
    Stream.mapEffect(
      (delivery) =>
        // Without an answer it is sent again; kept back it would take the place of another.
        Effect.catchDefect(handle(delivery), (defect) =>
          Effect.logError("Handling a command died", defect).pipe(
            Effect.andThen(count("Defect")),
            Effect.andThen(delivery.acknowledge)
          )
        ),
      { concurrency: maxInFlight }
    ),
    Stream.runDrain,
    Effect.forkScoped
  )
})

const refused = (reason: string): Answer => ({ status: 500, content: reason })

const answerOf = (command: Command.Any, exit: Exit.Exit<unknown, unknown>): Effect.Effect<Answer> => {
  if (Exit.isSuccess(exit)) {
    const content = Encoding.encode(command.success, exit.value)
    if (Encoding.isEncodingIssue(content)) return Effect.succeed(refused("ReplyMalformed"))
    return Effect.succeed(content === undefined ? { status: 200 } : { status: 200, content })
  }
  const reason = exit.cause.reasons[0]
  const error = reason?._tag === "Fail" ? Encoding.encode(command.error, reason.error) : undefined
  if (error !== undefined && !Encoding.isEncodingIssue(error)) return Effect.succeed({ status: 400, content: error })
  return Cause.hasInterruptsOnly(exit.cause)
    ? Effect.succeed(refused("Interrupted"))
    : Effect.as(Effect.logError("A command handler died", { command: command.tag }, exit.cause), refused("Died"))
}

/** Answers the commands of a contract while the layer lives. Requires every service that the handlers use. */
export const layer = <
  Name extends string,
  Commands extends Record<string, Command.Any>,
  const H extends Handlers<Commands>
>(
  contract: Participant<Name, Commands>,
  handlers: H
): Layer.Layer<never, never, Broker.Broker | ServicesOf<H>> =>
  // The handlers are those of the contract; below they are looked up by name.
  Layer.effectDiscard(make(contract, handlers as any)) as Layer.Layer<never, never, Broker.Broker | ServicesOf<H>>
