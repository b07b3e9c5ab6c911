/**
 * Messages that requests have brought, until their consequence is stored. They are handed out by a broker within the process. The
 * answer to one leaves with the response to its request, if that is still open.
 */
import { Effect, Option, Stream } from "effect"
import * as Broker from "../../ports/Broker.ts"
import { ReleasingMap } from "../../ports/ReleasingMap.ts"
import type { Outcome } from "./HttpFormat.ts"

export interface Answer {
  readonly status: Exclude<Outcome["status"], 400>
  readonly messages: ReadonlyArray<Broker.Message>
}

const busy: Answer = { status: 503, messages: [] }

export interface HttpIncoming {
  /**
   * Hands a message out, and waits until its consequence is stored, at most for `answerWithin`. One that its sender sends again
   * waits for the copy that was handed out.
   */
  readonly take: (message: Broker.Message, again: boolean) => Effect.Effect<Answer>
  /** Hands out a message that nobody waits for. */
  readonly deliver: Broker.Broker["Service"]["publish"]
  /** Whether the message leaves with a response. */
  readonly answer: (message: Broker.Message) => boolean
  /** Whether somebody in this process takes messages of the kind for the service. */
  readonly serves: (service: string, kind: Broker.Kind) => boolean
  readonly subscribe: Broker.Broker["Service"]["subscribe"]
}

/** A message that was handed out and is not acknowledged yet. */
interface Exchange {
  readonly answers: Array<Broker.Message>
  /** The open requests. */
  readonly waiting: Set<(answer: Answer) => void>
  /** The first request is about to wait: the message may be answered within the call that hands it out. */
  isOpening: boolean
  concluded: Answer | undefined
}

const isOpen = ({ isOpening, waiting }: Exchange): boolean => isOpening || waiting.size > 0

const keyOf = ({ address, body }: Broker.Message): string => `${Broker.topic(address)} ${body}`

/** A field of a body that may be any text. */
const fieldOf = (body: string, field: "id" | "inReplyTo"): string | undefined => {
  const parsed: unknown = Option.getOrUndefined(parse(body))
  // The one way to ask an unknown value for a field.
  const value = typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>)[field] : undefined
  return typeof value === "string" ? value : undefined
}

/** A body that is no JSON is put away by its receiver, and nothing answers it. */
const parse = Option.liftThrowable((body: string): unknown => JSON.parse(body))

const expectation = ({ address: { from, kind, to }, body }: Broker.Message): string | undefined => {
  const id = kind === "reply" ? undefined : fieldOf(body, "id")
  return id === undefined ? undefined : `${to} ${from} ${id}`
}

export interface HttpIncomingOptions {
  /** In milliseconds. */
  readonly answerWithin: number
  /** Takes the answer to a message whose request is no longer open. */
  readonly unclaimed: (message: Broker.Message) => void
}

export const make = (
  local: Broker.Broker["Service"],
  { answerWithin, unclaimed }: HttpIncomingOptions
): HttpIncoming => {
  /** By message; the oldest first. */
  const exchanges = new ReleasingMap<string, Array<Exchange>>()
  /** The messages by what an answer says that it answers. */
  const expected = new Map<string, string>()
  /** How many subscriptions there are, by service and kind. */
  const subscriptions = new Map<string, number>()

  const remove = (message: Broker.Message, exchange: Exchange): void => {
    const key = keyOf(message)
    const left = exchanges.get(key)?.filter((it) => it !== exchange) ?? []
    if (left.length > 0) exchanges.set(key, left)
    else {
      exchanges.delete(key)
      const expects = expectation(message)
      if (expects !== undefined) expected.delete(expects)
    }
  }

  const conclude = (message: Broker.Message): void => {
    const [exchange] = exchanges.get(keyOf(message)) ?? []
    if (exchange === undefined) return
    remove(message, exchange)
    const { answers, waiting } = exchange
    if (!isOpen(exchange)) for (const answer of answers) unclaimed(answer)
    const isComplete = answers.length > 0 || message.address.kind === "reply"
    exchange.concluded = { status: isComplete ? 200 : 202, messages: answers }
    for (const resume of [...waiting]) resume(exchange.concluded)
  }

  const begin = (message: Broker.Message): Effect.Effect<Answer> => {
    const key = keyOf(message)
    const exchange: Exchange = { answers: [], waiting: new Set(), isOpening: true, concluded: undefined }
    exchanges.set(key, [...(exchanges.get(key) ?? []), exchange])
    const expects = expectation(message)
    if (expects !== undefined) expected.set(expects, key)
    return Effect.matchEffect(local.publish(message), {
      onSuccess: () => concluded(exchange),
      onFailure: () =>
        Effect.sync(() => {
          remove(message, exchange)
          return busy
        })
    })
  }

  const serves: HttpIncoming["serves"] = (service, kind) => subscriptions.has(`${service} ${kind}`)

  const count = (service: string, kind: Broker.Kind, change: 1 | -1): void => {
    const place = `${service} ${kind}`
    const number = (subscriptions.get(place) ?? 0) + change
    if (number === 0) subscriptions.delete(place)
    else subscriptions.set(place, number)
  }

  // The reply to a request is in its response, so the process that has asked gets it without an address of its own.
  const subscribe: HttpIncoming["subscribe"] = ({ onOwnAddress: _, ...group }) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        for (const kind of group.kinds) count(group.service, kind, 1)
        return { isOver: false }
      }),
      (subscription) =>
        Effect.sync(() => {
          subscription.isOver = true
          for (const kind of group.kinds) count(group.service, kind, -1)
        })
    ).pipe(
      Effect.map((subscription) =>
        Stream.map(local.subscribe(group), (delivery) => ({
          ...delivery,
          acknowledge: Effect.andThen(
            delivery.acknowledge,
            Effect.sync(() => {
              if (!subscription.isOver) conclude(delivery)
            })
          )
        }))
      ),
      Stream.unwrap
    )

  /** Waits until the exchange is concluded. */
  const concluded = (exchange: Exchange): Effect.Effect<Answer> =>
    Effect.callback<Answer>((resume) => {
      const { waiting } = exchange
      const told = (answer: Answer) => resume(Effect.succeed(answer))
      exchange.isOpening = false
      if (exchange.concluded !== undefined) return told(exchange.concluded)
      waiting.add(told)
      return Effect.sync(() => waiting.delete(told))
    }).pipe(
      Effect.timeoutOption(answerWithin),
      Effect.map(Option.getOrElse((): Answer => ({ status: 504, messages: [] })))
    )

  return {
    serves,
    subscribe,
    deliver: local.publish,
    take: (message, again) =>
      Effect.suspend(() => {
        const [first] = again ? (exchanges.get(keyOf(message)) ?? []) : []
        if (first !== undefined) return concluded(first)
        return serves(message.address.to, message.address.kind) ? begin(message) : Effect.succeed(busy)
      }),
    answer: (message) => {
      const { address, body } = message
      const inReplyTo = exchanges.size === 0 ? undefined : fieldOf(body, "inReplyTo")
      const key = inReplyTo === undefined ? undefined : expected.get(`${address.from} ${address.to} ${inReplyTo}`)
      const exchange = key === undefined ? undefined : exchanges.get(key)?.find(isOpen)
      if (exchange === undefined) return false
      exchange.answers.push(message)
      return true
    }
  }
}
