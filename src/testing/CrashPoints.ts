/**
 * Every crash point of a saga: its manager is stopped at each instruction at which a crash makes a
 * difference (SPEC C15), a new one goes on, and the test looks at what has come of it. The store, the messages and the
 * services that the test provides outlive the manager, as a database and other processes do. A layer that may be kept from run to
 * run is made once (`shared`).
 *
 * Time is virtual: retries, timeouts and waits of days take none. Unlike a killed process, a stopped manager runs the finalizers of a
 * step in its middle; a step that relies on them is not tested by this.
 */
import { Context, Duration, Effect, Exit, Layer, Schedule, Scope } from "effect"
import type { AnyCommitted, Saga, Signals } from "../definition/Saga.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as SagaConfig from "../orchestrator/SagaConfig.ts"
import * as SagaManager from "../orchestrator/SagaManager.ts"
import type * as Broker from "../ports/Broker.ts"
import * as FaultPoint from "../ports/FaultPoint.ts"
import * as MemoryBroker from "../ports/MemoryBroker.ts"
import * as ParticipantStore from "../ports/ParticipantStore.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import type { InvalidSetting } from "../ports/Setting.ts"
import * as TransactionCommitter from "../ports/TransactionCommitter.ts"
import * as SagaStory from "../tooling/SagaStory.ts"
import * as CrashFilter from "./CrashFilter.ts"
import { startedBy } from "./Script.ts"
import * as Settling from "./Settling.ts"
import type { Telling } from "./Telling.ts"
import * as VirtualTime from "./VirtualTime.ts"

export interface Options<
  Initial,
  R,
  E2,
  A,
  Shared = never,
  Steps extends string = string,
  Told extends string = string
> {
  /** The initial values of every run. */
  readonly context: Initial
  /** The services that the steps use, and participants: made anew for each run, and not stopped. */
  readonly layer: Layer.Layer<Exclude<R, Shared>, E2, Broker.Broker | ParticipantStore.ParticipantStore | Shared>
  /**
   * Services that are made once and that all runs share, such as a database: to make one takes longer than a run. A
   * `SagaExecutionRepository` and a `ParticipantStore` among them are used in place of those in memory. Default: none.
   *
   * @example
   * ```ts
   * shared: Layer.provideMerge(
   *   Layer.merge(SqlSagaExecutionRepository.layer(), SqlParticipantStore.layer()),
   *   PgliteClient.layer()
   * )
   * ```
   */
  readonly shared?: Layer.Layer<Shared, E2>
  /** Reads the state of those services when a run is over; the result is in `Run.inspected`. Default: nothing. */
  readonly inspect?: Effect.Effect<A, never, R | Shared>
  /**
   * What the execution is told (`SagaTest.signal`), and when: a time after its start. The manager that goes on after a crash is told
   * again what was told before, as by a person who clicks once more. Default: nothing.
   */
  readonly signals?: ReadonlyArray<Telling<Told>>
  /** Asks the participants of a commit. Default: `TransactionCommitter.layerNone`, no participant is asked. */
  readonly committer?: Layer.Layer<TransactionCommitter.TransactionCommitter, never, Broker.Broker>
  /** Default: a service named `saga-test`. */
  readonly config?: Partial<SagaConfig.SagaConfigOptions>
  /**
   * The crash points that are tried: the name of a step (`"payment"`: what is called, sent, received and stored for it, and for the
   * steps inside it), the name of an operation (`"store"`: before and after each write), or that of a point (`"publish.after"`).
   * Of several steps and several points those are tried that have one of both. Default: all. For a saga with many points: all of
   * them at night, and those of the step that you change while you change it. The calm run is always there.
   *
   * @example
   * ```ts
   * only: "payment" // each crash around the payment
   * only: ["payment", "callback.after", "store"] // of these, the ones after its work and around a write
   * ```
   */
  readonly only?: Only<Steps> | ReadonlyArray<Only<Steps>>
}

export type { Name, Operation } from "../ports/FaultPoint.ts"

/** A step of the saga, an operation, or a point before or after one. */
export type Only<Steps extends string> = Steps | FaultPoint.Operation | FaultPoint.Name

export interface Run<out A> {
  /** Where the manager was stopped: `publish.after 2` is right after the second message left. */
  readonly crash: string
  readonly execution: SagaExecution
  /** The execution in words (`SagaStory.outline`). */
  readonly story: ReadonlyArray<string>
  readonly inspected: A
}

/** Runs the saga without a crash, and then once for each place where one can happen. The first run is the calm one. */
export const crashPoints = <Initial, Own, E, R, Out, O, E2 = never, A = void, Shared = never>(
  saga: Saga<string, Initial, Own, E, R, "committed", O>,
  options: Options<
    NoInfer<Initial>,
    R | Out,
    E2,
    A,
    Shared,
    NoInfer<keyof Own & string>,
    NoInfer<keyof Signals<Saga<string, any, any, any, any, "committed", O>> & string>
  >
): Effect.Effect<ReadonlyArray<Run<A>>, E2 | SetUpError> =>
  Effect.gen(function* () {
    // Without `shared` it has the type of nothing.
    const shared = yield* Layer.build(options.shared ?? (Layer.empty as Layer.Layer<never> as Layer.Layer<Shared>))
    const met = new Map<FaultPoint.Name, Array<ReadonlyArray<string>>>()
    const run = (crash: string, stopsAt: StopsAt) =>
      VirtualTime.from(0, (time) => lives(time, saga, options, shared, crash, stopsAt))
    const calm = yield* run("none", (name, paths) => {
      met.set(name, [...(met.get(name) ?? []), paths])
      return false
    })
    const runs = [calm]
    const isWanted = CrashFilter.of(saga, options.only)
    for (const [name, all] of met) {
      for (const [i, paths] of all.entries()) {
        if (!isWanted(name, paths)) continue
        let left = i + 1
        runs.push(yield* run(`${name} ${i + 1}`, (point) => point === name && --left === 0))
      }
    }
    return runs
  }).pipe(Effect.scoped)

export type SetUpError =
  | Layer.Error<ReturnType<typeof SagaManager.layer> | ReturnType<typeof SagaConfig.layer>>
  | SagaManager.StartError

/** With one start key, a second start after a crash continues the same execution. A shared store keeps those of all runs. */
const startKeyOf = (crash: string): string => `saga-test, crash: ${crash}`

type StopsAt = (name: FaultPoint.Name, paths: ReadonlyArray<string>) => boolean

/** The lives of one execution: until it stops, and after that. */
const lives = Effect.fnUntraced(function* <Out, E2, A, Shared>(
  time: VirtualTime.VirtualTime,
  saga: AnyCommitted,
  options: Options<any, Out, E2, A, Shared, any, any>,
  shared: Context.Context<Shared>,
  crash: string,
  stopsAt: StopsAt
): Effect.fn.Return<Run<A>, E2 | SetUpError, Scope.Scope> {
  const outer = yield* Scope.Scope
  const settling = new Settling.Settling()
  const memory = Layer.mergeAll(
    broker,
    unless(shared, ParticipantStore.ParticipantStore, store),
    unless(shared, Repository.SagaExecutionRepository, Repository.layerMemoryWith({ keep: 1_000 }))
  )
  const world = yield* options.layer.pipe(
    Layer.provideMerge(options.committer ?? TransactionCommitter.layerNone),
    Layer.provideMerge(Layer.effectContext(Effect.map(Layer.build(memory), CrashFilter.watch))),
    Layer.provideMerge(Layer.succeedContext(CrashFilter.watch(settling.watch(shared)))),
    Layer.build
  )
  const repository = Context.get(world, Repository.SagaExecutionRepository)
  const startKey = startKeyOf(crash)
  const execute = SagaManager.run(saga, { context: options.context, startKey, raiseOnError: false })

  /** A manager, with a caller who waits for the execution until it is over or the manager is stopped. */
  const attempt = Effect.fnUntraced(function* (fault: FaultPoint.Handler, isStopped: () => boolean) {
    const scope = yield* Scope.fork(outer)
    // `crashPoints` requires the services of the saga; here they are erased.
    const layer = SagaManager.layer([saga, ...startedBy(saga)]) as Layer.Layer<
      SagaManager.SagaManager,
      SetUpError,
      | SagaConfig.SagaConfig
      | Broker.Broker
      | Repository.SagaExecutionRepository
      | TransactionCommitter.TransactionCommitter
    >
    const manager = yield* layer.pipe(
      Layer.provide(config(options.config)),
      Layer.provide(Layer.succeed(FaultPoint.FaultPoint, fault)),
      Layer.provide(Layer.succeedContext(world)),
      Layer.buildWithScope(scope)
    )
    const caller = yield* Effect.forkIn(Effect.provideContext(execute, manager), scope)
    yield* Effect.forkIn(Effect.provideContext(tell(options.signals ?? [], startKey, time.now()), manager), scope)
    const isOver = () => isStopped() || caller.pollUnsafe() !== undefined
    yield* passTime(time, settling, isOver)
    const exit = caller.pollUnsafe()
    if (!isStopped() && startedBy(saga).length > 0) yield* untilSettled(time, settling, repository)
    if (!isStopped()) yield* settling.settle(() => false)
    yield* Scope.close(scope, Exit.void)
    return exit
  })

  let stopped = false
  let exit = yield* attempt(
    (name, path) =>
      Effect.flatMap(CrashFilter.PathsOfPoint, (paths) => {
        // A crash stops all fibers of the manager at once. Its scope is closed later, so each of them waits at its next crash point.
        stopped ||= stopsAt(name, path === undefined ? paths : [path])
        return stopped ? Effect.never : Effect.void
      }),
    () => stopped
  )
  if (stopped) {
    exit = yield* attempt(
      () => Effect.void,
      () => false
    )
  }
  if (exit !== undefined) yield* exit
  // A caller who saw the end, or nobody came to it: the store knows the execution, and keeps the last one.
  const execution = yield* Effect.gen(function* () {
    const { items } = yield* repository.find({ startKey })
    return Execution.bind(yield* repository.load(items[0]?.uuid ?? ""), saga)
  }).pipe(Effect.orDie)
  // Without `inspect` it has the type of nothing.
  const inspect: Effect.Effect<A | undefined, never, any> = options.inspect ?? Effect.undefined
  const inspected = (yield* Effect.provideContext(inspect, world as Context.Context<any>)) as A
  return { crash, execution, story: SagaStory.outline(execution), inspected }
}, Effect.scoped)

/** Tells the execution everything once it is there, after `passed` milliseconds of its story. It may have ended, or turned back: then nobody listens. */
const tell = (signals: ReadonlyArray<Telling<string>>, startKey: string, passed: number) =>
  Effect.forEach(
    signals,
    ({ after, said, signal }) =>
      SagaManager.signal(signal, { ...said, startKey }).pipe(
        Effect.retry({
          while: ({ _tag }) => _tag === "SagaExecutionNotFound",
          schedule: Schedule.spaced("100 millis")
        }),
        Effect.ignore,
        Effect.delay(Math.max(0, Duration.toMillis(after) - passed))
      ),
    { concurrency: "unbounded", discard: true }
  )

/** The layer, where the services of all runs have no such service. */
const unless = <I, S>(
  shared: Context.Context<never>,
  service: Context.Key<I, S>,
  layer: Layer.Layer<I, InvalidSetting>
): Layer.Layer<I, InvalidSetting> =>
  shared.mapUnsafe.has(service.key) ? (Layer.empty as Layer.Layer<never> as Layer.Layer<I>) : layer

const broker = Layer.fresh(MemoryBroker.layerMemory)
const store = Layer.fresh(ParticipantStore.layerMemory)
const config = (options: Partial<SagaConfig.SagaConfigOptions> = {}) =>
  SagaConfig.layer({ service: "saga-test", ...options })

const hour = 3_600_000
const tenYears = 3_650 * 24 * hour

/**
 * Lets time pass where nothing else goes on, until `isOver`, ten years at most; `look` reads what it depends on. In the first
 * hour it passes in steps of up to a minute, so that what waits for the world outside is not overtaken. A saga that takes longer waits for a
 * time or a person: then it goes to the next moment at which something is due, or a sixtieth further where somebody
 * looks again and again, as instances on a database do.
 */
const passTime = Effect.fnUntraced(function* (
  time: VirtualTime.VirtualTime,
  settling: Settling.Settling,
  isOver: () => boolean,
  look: Effect.Effect<void> = Effect.void
) {
  const begin = time.now()
  for (let step = 100, passed = 0; passed < tenYears; step = Math.min(step * 2, 60_000), passed = time.now() - begin) {
    yield* settling.settle(isOver)
    yield* look
    if (isOver()) return
    const next = passed < hour ? 0 : time.next()
    if (next === Number.POSITIVE_INFINITY) return
    yield* time.goTo(Math.max(next, time.now() + Math.max(step, passed / 60)))
  }
})

/** Lets the sagas that were started go on. */
const untilSettled = (
  time: VirtualTime.VirtualTime,
  settling: Settling.Settling,
  { census }: Repository.SagaExecutionRepository["Service"]
) =>
  Effect.suspend(() => {
    let isSettled = false
    const look = Effect.map(Effect.orDie(census), (open) => {
      isSettled = open.length === 0
    })
    return passTime(time, settling, () => isSettled, look)
  })
