/** The broker within one process: for tests, for demos, and for what a transport has received. */
import { Effect, Exit, Layer, MutableList, Stream } from "effect"
import { Broker, BrokerError, type Delivery, type Kind, type Message, shared } from "./Broker.ts"
import { FaultPoint } from "./FaultPoint.ts"
import * as Setting from "./Setting.ts"

interface WaitingMessage {
  readonly message: Message
  readonly redelivered: boolean
}

interface Subscription {
  readonly kinds: ReadonlyArray<Kind>
  /** Where replies reach this subscription alone, and those that wait for it. */
  readonly address: string | undefined
  readonly own: MutableList.MutableList<WaitingMessage>
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
  let addresses = 0

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
    const { instance, kind, to } = message.address
    const inbox = inboxOf(to)
    if (waitingIn(inbox) >= capacity) return Exit.fail(new BrokerError({ operation: "publish", reason: "full" }))
    if (instance !== undefined) {
      const asked = subscriberAt(inbox, instance)
      const waiting = { message: { ...message, address: shared(message.address) }, redelivered: false }
      MutableList.append(asked?.own ?? inbox.waiting[kind], waiting)
      if (asked !== undefined) {
        wake(inbox, asked)
        return Exit.void
      }
    } else MutableList.append(inbox.waiting[kind], { message, redelivered: false })
    for (const subscription of inbox.subscriptions) if (wake(inbox, subscription)) break
    return Exit.void
  }

  return Broker.of({
    publish: (message) => FaultPoint.around("publish", () => deliver(message)),
    isUnheard: (service) =>
      !Array.from(inboxes.get(service)?.subscriptions ?? []).some(({ kinds }) => kinds.includes("command")),
    subscribe: ({ kinds, maxInFlight = 64, onOwnAddress, service }) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const inbox = inboxOf(service)
          const address = onOwnAddress !== undefined && kinds.includes("reply") ? `i${++addresses}` : undefined
          const own = MutableList.make<WaitingMessage>()
          const subscription: Subscription = {
            kinds,
            address,
            own,
            maxInFlight,
            inFlight: new Set(),
            resume: undefined
          }
          inbox.subscriptions.add(subscription)
          if (address !== undefined) onOwnAddress?.(address)
          return { inbox, subscription }
        }),
        ({ inbox, subscription }) =>
          Effect.sync(() => {
            if (subscription.address !== undefined) onOwnAddress?.(undefined)
            end(inbox, subscription)
          })
      ).pipe(
        Effect.map(({ inbox, subscription }) => Stream.fromPull(Effect.succeed(take(inbox, subscription)))),
        Stream.unwrap
      )
  })
}

const subscriberAt = ({ subscriptions }: Inbox, instance: string): Subscription | undefined => {
  for (const subscription of subscriptions) if (subscription.address === instance) return subscription
  return undefined
}

const waitingIn = ({ subscriptions, waiting: { command, reply, status, tx } }: Inbox): number => {
  let waiting = command.length + reply.length + status.length + tx.length
  for (const { own } of subscriptions) waiting += own.length
  return waiting
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
  if (subscription.own.length > 0) takeFrom(subscription.own, inbox, subscription, deliveries)
  for (const kind of subscription.kinds) takeFrom(inbox.waiting[kind], inbox, subscription, deliveries)
  return deliveries
}

/** Takes as many as the subscription may still have. */
const takeFrom = (
  list: MutableList.MutableList<WaitingMessage>,
  inbox: Inbox,
  subscription: Subscription,
  deliveries: Array<Delivery>
): void => {
  const free = subscription.maxInFlight - subscription.inFlight.size
  if (free <= 0) return
  for (const waiting of MutableList.takeN(list, free)) {
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

/** Wakes an idle subscriber if a message waits that it may have. */
const wake = (inbox: Inbox, subscription: Subscription): boolean => {
  const { inFlight, kinds, maxInFlight, own, resume } = subscription
  if (resume === undefined || inFlight.size >= maxInFlight) return false
  if (own.length === 0 && kinds.every((kind) => inbox.waiting[kind].length === 0)) return false
  subscription.resume = undefined
  // Moved to the end, so that subscribers take turns. The subscriber may run, and even end, before `resume` returns.
  inbox.subscriptions.delete(subscription)
  inbox.subscriptions.add(subscription)
  resume()
  return true
}

/** Puts deliveries that are not acknowledged back to the front, for the other subscribers, and then what waits for this one alone. */
const end = (inbox: Inbox, subscription: Subscription): void => {
  inbox.subscriptions.delete(subscription)
  for (const waiting of [...MutableList.takeAll(subscription.own)].reverse())
    MutableList.prepend(inbox.waiting.reply, waiting)
  for (const { acknowledge: _, redelivered: __, ...message } of [...subscription.inFlight].reverse())
    MutableList.prepend(inbox.waiting[message.address.kind], { message, redelivered: true })
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
