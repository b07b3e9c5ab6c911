/** The broker within one process: for tests, for demos, and for what a transport has received. */
import { Effect, Exit, Layer, MutableList, Stream } from "effect"
import { Broker, BrokerError, type Delivery, type Kind, type Message } from "./Broker.ts"
import { FaultPoint } from "./FaultPoint.ts"
import * as Setting from "./Setting.ts"

interface WaitingMessage {
  readonly message: Message
  readonly redelivered: boolean
}

interface Subscription {
  readonly kinds: ReadonlyArray<Kind>
  readonly maxInFlight: number
  /** Deliveries that are not acknowledged, oldest first. */
  readonly inFlight: Set<Delivery>
  /** Set while the subscriber is idle. */
  resume: (() => void) | undefined
}

/** The waiting messages of one service, and its subscriptions. */
interface Inbox {
  readonly waiting: { readonly [K in Kind]: MutableList.MutableList<WaitingMessage> }
  readonly subscriptions: Set<Subscription>
}

const makeMemory = (capacity: number): Broker["Service"] => {
  const inboxes = new Map<string, Inbox>()

  const inboxOf = (service: string): Inbox => {
    const known = inboxes.get(service)
    if (known !== undefined) return known
    const inbox: Inbox = {
      waiting: {
        command: MutableList.make(),
        tx: MutableList.make(),
        reply: MutableList.make(),
        status: MutableList.make()
      },
      subscriptions: new Set()
    }
    inboxes.set(service, inbox)
    return inbox
  }

  /** Puts a message into the inbox of its receiver, and wakes one idle subscriber. */
  const deliver = (message: Message): Exit.Exit<void, BrokerError> => {
    const { kind, to } = message.address
    const inbox = inboxOf(to)
    const { command, reply, status, tx } = inbox.waiting
    if (command.length + reply.length + status.length + tx.length >= capacity)
      return Exit.fail(new BrokerError({ operation: "publish", reason: "full" }))
    MutableList.append(inbox.waiting[kind], { message, redelivered: false })
    for (const subscription of inbox.subscriptions) if (wake(inbox, subscription)) break
    return Exit.void
  }

  return Broker.of({
    publish: (message) => FaultPoint.around("publish", () => deliver(message)),
    isUnheard: (service) =>
      !Array.from(inboxes.get(service)?.subscriptions ?? []).some(({ kinds }) => kinds.includes("command")),
    subscribe: ({ kinds, maxInFlight = 64, service }) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const inbox = inboxOf(service)
          const subscription: Subscription = { kinds, maxInFlight, inFlight: new Set(), resume: undefined }
          inbox.subscriptions.add(subscription)
          return { inbox, subscription }
        }),
        ({ inbox, subscription }) => Effect.sync(() => end(inbox, subscription))
      ).pipe(
        Effect.map(({ inbox, subscription }) => Stream.fromPull(Effect.succeed(take(inbox, subscription)))),
        Stream.unwrap
      )
  })
}

/** The next deliveries, at least one: as many as wait and the subscription may have. */
const take = (inbox: Inbox, subscription: Subscription): Effect.Effect<readonly [Delivery, ...Array<Delivery>]> => {
  const idle = Effect.callback<void>((resume) => {
    subscription.resume = () => resume(Effect.void)
    // A message may have come since `takeUnsafe`, as other fibers may have run in between.
    wake(inbox, subscription)
    return Effect.sync(() => {
      subscription.resume = undefined
    })
  })
  const next: Effect.Effect<readonly [Delivery, ...Array<Delivery>]> = Effect.suspend(() => {
    const [first, ...rest] = takeUnsafe(inbox, subscription)
    return first === undefined ? Effect.andThen(idle, next) : Effect.succeed([first, ...rest])
  })
  return next
}

const takeUnsafe = (inbox: Inbox, subscription: Subscription): ReadonlyArray<Delivery> => {
  const deliveries: Array<Delivery> = []
  for (const kind of subscription.kinds) {
    const free = subscription.maxInFlight - subscription.inFlight.size
    if (free <= 0) break
    for (const waiting of MutableList.takeN(inbox.waiting[kind], free)) {
      const delivery: Delivery = {
        ...waiting.message,
        redelivered: waiting.redelivered,
        acknowledge: FaultPoint.around("acknowledge", () => {
          if (subscription.inFlight.delete(delivery)) wake(inbox, subscription)
          return Effect.void
        })
      }
      subscription.inFlight.add(delivery)
      deliveries.push(delivery)
    }
  }
  return deliveries
}

/** Wakes an idle subscriber if a message waits that it may have. */
const wake = (inbox: Inbox, subscription: Subscription): boolean => {
  const { inFlight, kinds, maxInFlight, resume } = subscription
  if (resume === undefined || inFlight.size >= maxInFlight) return false
  if (kinds.every((kind) => inbox.waiting[kind].length === 0)) return false
  subscription.resume = undefined
  // Moved to the end, so that subscribers take turns. The subscriber may run, and even end, before `resume` returns.
  inbox.subscriptions.delete(subscription)
  inbox.subscriptions.add(subscription)
  resume()
  return true
}

/** Puts deliveries that are not acknowledged back to the front, for the other subscribers. */
const end = (inbox: Inbox, subscription: Subscription): void => {
  inbox.subscriptions.delete(subscription)
  for (const { address, body } of [...subscription.inFlight].reverse())
    MutableList.prepend(inbox.waiting[address.kind], { message: { address, body }, redelivered: true })
  for (const other of [...inbox.subscriptions]) wake(inbox, other)
}

/**
 * A broker within one process. Messages wait for their receiver, up to `capacity` for each service (default 16,384); more
 * are refused as `full`. `capacity` is a whole number from 1. Fails with `InvalidSetting`.
 */
export const layerMemoryWith = (options: { readonly capacity?: number }): Layer.Layer<Broker, Setting.InvalidSetting> =>
  Layer.effect(
    Broker,
    Effect.gen(function* () {
      const { capacity = defaultCapacity } = yield* Setting.known("Broker", options, { capacity: true })
      return makeMemory(yield* Setting.wholeNumber("Broker.capacity", capacity, { least: 1 }))
    })
  )

const defaultCapacity = 16_384

export const layerMemory: Layer.Layer<Broker> = Layer.sync(Broker, () => makeMemory(defaultCapacity))
