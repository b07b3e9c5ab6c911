/**
 * One story of a saga in a unit test: the real manager, with memory for its storage and its broker, a script for the services that
 * it asks, and time that goes from one moment to the next at which something happens. A saga of a month takes milliseconds.
 */
import { Context, DateTime, Duration, Effect, Layer, Scope } from "effect"
import type { AnyCommitted, Exchanges, PointInTime, Saga, Signals, Visible } from "../definition/Saga.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import type { SagaStep } from "../definition/SagaStep.ts"
import type { SagaSystemError } from "../execution/view/ExecutionErrors.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as SagaConfig from "../orchestrator/SagaConfig.ts"
import * as SagaManager from "../orchestrator/SagaManager.ts"
import * as Broker from "../ports/Broker.ts"
import * as MemoryBroker from "../ports/MemoryBroker.ts"
import * as ParticipantStore from "../ports/ParticipantStore.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as TransactionCommitter from "../ports/TransactionCommitter.ts"
import * as SagaStory from "../tooling/SagaStory.ts"
import type { Compensations, Replies } from "./Answer.ts"
import type { SetUpError } from "./CrashPoints.ts"
import { Script, type ScriptError, startedBy } from "./Script.ts"
import { ScriptedServices, type Sent } from "./ScriptedServices.ts"
import { Settling } from "./Settling.ts"
import type { Telling } from "./Telling.ts"
import * as VirtualTime from "./VirtualTime.ts"

// ---- what a test says ------------------------------------------------------------------------------------------

/** The options of `run`. Only `context` is needed, and `layer` where the steps use services. */
export type RunOptions<Initial, R, Steps, Told, E2, A> = Story<Initial, R, Steps, Told, A> & Provided<R, E2>

/** A saga without services needs no layer; it may have one, for participants. */
export type Provided<R, E2> = [R] extends [never]
  ? {
      /** Participants (`Participant.layer`) that answer for services of which `replies` says nothing. Default: none. */
      readonly layer?: Layer.Layer<never, E2, Ports>
    }
  : {
      /**
       * The services that the steps use. It may also have participants (`Participant.layer`): they answer for services of which
       * `replies` says nothing.
       */
      readonly layer: Layer.Layer<R, E2, Ports>
    }

/** The ports that participants need; the run has both. */
export type Ports = Broker.Broker | ParticipantStore.ParticipantStore

/** The events of one run, as a test says them. */
export interface Story<Initial, R, Steps, Told, A> {
  /** The initial values. */
  readonly context: Initial
  /**
   * The answers of the services that are asked, by the names of the steps; those for a nested saga under the name of its step. An
   * answer is the value of the reply, or `SagaTest.error`, `late`, `twice`, `silence`, `dies`, or a function of the payload
   * that gives one of them. A step that asks without an answer here and without a participant in `layer` fails the run with
   * `SagaTestReplyMissing`. Default: none.
   *
   * @example
   * ```ts
   * replies: { seat: ({ city }) => ({ seat: `12A to ${city}` }), payment: SagaTest.error(new CardDeclined()) }
   * ```
   */
  readonly replies?: Replies<Steps>
  /** The answers to compensations that are not simply done: `SagaTest.dies`, `silence`, `late`. Default: all are done at once. */
  readonly compensations?: Compensations<Steps>
  /** What the execution is told, and when (`SagaTest.signal`). Default: nothing. */
  readonly signals?: ReadonlyArray<Telling<keyof Told & string>>
  /** When the execution is cancelled, as a time after the start; a number is milliseconds. Default: never. */
  readonly cancelAfter?: Duration.Input
  /** The time at which the run begins, for sagas that wait until a date. Default: the beginning of 1970. */
  readonly startsAt?: PointInTime
  /** After this time the run is given up, as it is. A number is milliseconds. Default: 3,650 days. */
  readonly within?: Duration.Input
  /** Reads the state of the services of `layer` at the end; the result is in `Ran.inspected`. Default: nothing. */
  readonly inspect?: Effect.Effect<A, never, R>
  /** Asks the participants of a commit. Default: `TransactionCommitter.layerNone`, no participant is asked. */
  readonly committer?: Layer.Layer<TransactionCommitter.TransactionCommitter, never, Broker.Broker>
  /** Default: a service named `saga-test`. */
  readonly config?: Partial<SagaConfig.SagaConfigOptions>
}

// ---- what comes of it ------------------------------------------------------------------------------------------

/** How a run has ended. */
export interface Ran<out Ctx, out E, out A> {
  /** The outcome: `status` tells whether `context` is complete, or `cause` says why not. */
  readonly execution: Execution.Finished<Ctx> | Execution.Errored<Ctx, E | SagaSystemError> | Execution.Unfinished<Ctx>
  /** The names of steps and their fates (`SagaStory.outline`), for assertions: `payment failed`. */
  readonly outline: ReadonlyArray<string>
  /** The whole story, with times (`SagaStory.tell`): `after 1d: the signal approval has come`. */
  readonly story: ReadonlyArray<string>
  /** The commands that were sent, in their order. */
  readonly commands: ReadonlyArray<Sent>
  /** The names of the steps whose compensation has run, in its order. */
  readonly compensated: ReadonlyArray<string>
  /** What the senders of signals were told, in the order of time: the answer, or the tag of the error. */
  readonly answers: ReadonlyArray<TellingAnswer>
  /** Virtual time from the start to the last fact of the execution. */
  readonly took: Duration.Duration
  /** The result of `inspect`. */
  readonly inspected: A
}

/** What the sender of a signal was told; `SagaManager.signal` says when. `cancelled` is the answer to a cancel. */
export type TellingAnswer =
  | SagaManager.SignalAnswer
  | "cancelled"
  | "unanswered"
  | SagaManager.SignalError["_tag"]
  | "SagaNotCancellable"

/**
 * Runs a saga once, with answers and signals that the test says. The manager, its storage and its broker are those of the
 * library, so what happens here happens in production. Time is virtual: it goes to the next moment at which something is due.
 * The run is over when the execution is, and every signal has come; or when nothing is due any more.
 *
 * A service in `layer` that waits for the world outside, such as a network, is overtaken by that time: give a stand-in, or a store in
 * memory. For a saga on a database there is `crashPoints` with `shared`.
 *
 * Fails with `SagaTestReplyMissing` where a step asks and the test says no answer, and with `SagaTestReplyInvalid` where the
 * answer does not fit its schema; a saga that fails is no failure of the run.
 *
 * @example
 * ```ts
 * const { execution, outline } = yield* SagaTest.run(BookTrip, {
 *   context: { city: "Atlantis" },
 *   layer: HotelLive,
 *   replies: { flight: SagaTest.error({ _tag: "FlightFull", city: "Atlantis" }) }
 * })
 * assert.strictEqual(execution.status, "errored")
 * assert.deepStrictEqual(outline, ["started", "room succeeded", "flight failed", "room compensated", "errored"])
 * ```
 */
export const run = <Initial, Own, E, R, O, E2 = never, A = void>(
  saga: Saga<string, Initial, Own, E, R, "committed", O>,
  options: RunOptions<
    NoInfer<Initial>,
    NoInfer<R>,
    Exchanges<Saga<string, any, any, any, any, "committed", NoInfer<O>>>,
    Signals<Saga<string, any, any, any, any, "committed", NoInfer<O>>>,
    E2,
    A
  >
): Effect.Effect<Ran<Visible<Initial & Own>, E, A>, E2 | SetUpError | ScriptError> =>
  // The types of the saga and of the options are erased inside, and those of the result follow from them.
  played(saga, options as AnyOptions) as Effect.Effect<any, any>

// ---- the run ---------------------------------------------------------------------------------------------------

type AnyOptions = Story<any, any, any, any, any> & {
  readonly layer?: Layer.Layer<any, any, Ports>
}

const startKey = "saga-test"
const tenYears = Duration.days(3_650)

/** More moments than any saga has that ends: something wakes up again and again. */
const mostMoments = 100_000

const played = Effect.fnUntraced(function* (saga: AnyCommitted, options: AnyOptions) {
  const script = new Script(saga, options.replies, options.compensations)
  if (script.unknown !== undefined) return yield* script.unknown
  return yield* VirtualTime.from(toMillis(options.startsAt ?? 0), (time) => story(saga, options, script, time))
}, Effect.scoped)

const toMillis = (time: PointInTime): number =>
  DateTime.isDateTime(time) ? DateTime.toEpochMillis(time) : Number(time)

const story = Effect.fnUntraced(function* (
  saga: AnyCommitted,
  options: AnyOptions,
  script: Script,
  time: VirtualTime.VirtualTime
) {
  const begin = time.now()
  const settling = new Settling()
  const { manager, repository, services, world } = yield* stage(saga, options, script, begin, settling)
  const caller = yield* SagaManager.run(saga, { context: options.context, startKey, raiseOnError: false }).pipe(
    Effect.provideContext(manager),
    Effect.forkScoped
  )
  const answers: Array<TellingAnswer> = []
  const isDone = () => caller.pollUnsafe() !== undefined && answers.every((answer) => answer !== "unanswered")
  const moments = momentsOf(options, begin).map(({ at, tell }, i) => ({
    at,
    tell: Effect.map(tell, (answer) => {
      answers[i] = answer
    }).pipe(Effect.provideContext(manager), Effect.forkScoped)
  }))
  const end = begin + Duration.toMillis(options.within ?? tenYears)
  for (let round = 0; round < mostMoments; round++) {
    yield* settling.settle(() => services.failure !== undefined)
    const { failure } = services
    if (failure !== undefined) return yield* failure
    const due = moments[0]
    if (due !== undefined && due.at <= time.now()) {
      moments.shift()
      answers.push("unanswered")
      yield* due.tell
      continue
    }
    if (due === undefined && isDone()) break
    const next = Math.min(due?.at ?? Number.POSITIVE_INFINITY, time.next())
    if (next > end || next === Number.POSITIVE_INFINITY) break
    yield* time.goTo(next)
  }
  const exit = caller.pollUnsafe()
  if (exit !== undefined) yield* exit
  const execution = yield* found(repository, saga)
  const inspected: unknown = yield* Effect.provideContext(options.inspect ?? Effect.void, world)
  return { ...readings(saga, execution), commands: services.sent, answers, inspected }
})

/** The manager with its ports, and the services around it. */
const stage = Effect.fnUntraced(function* (
  saga: AnyCommitted,
  options: AnyOptions,
  script: Script,
  begin: number,
  settling: Settling
) {
  const memory = yield* Layer.build(
    Layer.mergeAll(
      Layer.fresh(MemoryBroker.layerMemory),
      Layer.fresh(ParticipantStore.layerMemory),
      Layer.fresh(Repository.layerMemoryWith({ keep: 10 }))
    )
  )
  const services = new ScriptedServices(script, Context.get(memory, Broker.Broker), begin, yield* Scope.Scope)
  const ports = learning(settling.watch(memory), script)
  const given = options.layer ?? Layer.empty
  const world: Context.Context<any> = yield* given.pipe(
    Layer.provideMerge(Layer.succeedContext(Context.add(ports, Broker.Broker, services.brokerOfOthers))),
    Layer.build
  )
  // The participants of the test subscribe first: the script plays who has not.
  yield* settling.settle(() => false)
  yield* Layer.build(Layer.provide(yield* services.layer, Layer.succeedContext(ports)))
  const manager = yield* SagaManager.layer([saga, ...startedBy(saga)]).pipe(
    Layer.provide(SagaConfig.layer({ service: "saga-test", ...options.config })),
    Layer.provide(options.committer ?? TransactionCommitter.layerNone),
    Layer.provide(Layer.succeedContext(Context.add(world, Broker.Broker, services.broker))),
    Layer.build
  )
  return { manager, repository: Context.get(ports, Repository.SagaExecutionRepository), services, world }
})

/** The script hears which saga an execution is of. */
const learning = <I>(services: Context.Context<I>, script: Script): Context.Context<I> => {
  const repository = Context.getUnsafe(services, Repository.SagaExecutionRepository)
  return Context.add(services, Repository.SagaExecutionRepository, {
    ...repository,
    store: (execution, hint) => {
      script.learn(execution.uuid, execution.saga)
      return repository.store(execution, hint)
    }
  })
}

interface Moment {
  readonly at: number
  readonly tell: Effect.Effect<TellingAnswer, never, SagaManager.SagaManager>
}

/** What is said from outside, in the order of time. */
const momentsOf = ({ cancelAfter, signals = [] }: AnyOptions, begin: number): ReadonlyArray<Moment> => {
  const moment = (
    after: Duration.Input,
    tell: Effect.Effect<TellingAnswer, { readonly _tag: TellingAnswer }, SagaManager.SagaManager>
  ): Moment => ({
    at: begin + Duration.toMillis(after),
    tell: Effect.catch(tell, ({ _tag }) => Effect.succeed(_tag))
  })
  const said = signals.map(({ after, said, signal }) =>
    moment(after, SagaManager.signal(signal, { ...said, startKey }))
  )
  const cancelled = cancelAfter === undefined ? [] : [moment(cancelAfter, Effect.as(cancel, "cancelled" as const))]
  return [...said, ...cancelled].sort((one, other) => one.at - other.at)
}

const cancel = SagaManager.SagaManager.use((manager) =>
  Effect.flatMap(manager.find({ startKey }), ({ items }) => manager.cancel(items[0]?.uuid ?? ""))
)

const found = (repository: Repository.SagaExecutionRepository["Service"], saga: AnyCommitted) =>
  // The start is stored before its caller hears of it, and the store keeps what has ended.
  Effect.gen(function* () {
    const { items } = yield* repository.find({ startKey })
    return Execution.bind(yield* repository.load(items[0]?.uuid ?? ""), saga)
  }).pipe(Effect.orDie)

const readings = (saga: AnyCommitted, execution: Execution.SagaExecution) => {
  const { events } = execution
  const sent = new Set(events.flatMap((event) => (event._tag === "CompensationSent" ? event.path : [])))
  // A service may have said that it did nothing: then nothing was sent.
  const hasRun = (path: string, step: SagaStep | undefined): boolean =>
    step?._tag === "Local" ? step.compensate !== undefined : sent.has(path)
  const compensated = events.flatMap((event) => {
    const step = event._tag === "StepCompensated" ? SagaPath.at(saga, event.path) : undefined
    return step !== undefined && "path" in event && hasRun(event.path, step) ? step.name : []
  })
  return {
    execution,
    outline: SagaStory.outline(execution),
    story: SagaStory.tell(execution, { times: true }),
    compensated,
    took: Duration.millis((events.at(-1)?.at ?? 0) - (events[0]?.at ?? 0))
  }
}
