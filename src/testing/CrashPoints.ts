/**
 * Every crash point of a saga: its manager is stopped at each instruction at which a crash makes a
 * difference (SPEC C15), a new one goes on, and the test looks at what has come of it. The store, the messages and the
 * services that the test provides outlive the manager, as a database and other processes do. A layer that may be kept from run to
 * run is made once (`shared`).
 *
 * Time is virtual: retries and timeouts take none. Unlike a killed process, a stopped manager runs the finalizers of a
 * step in its middle; a step that relies on them is not tested by this.
 */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { AnyCommitted, Saga } from "../definition/Saga.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as SagaConfig from "../orchestrator/SagaConfig.ts"
import * as SagaManager from "../orchestrator/SagaManager.ts"
import * as Broker from "../ports/Broker.ts"
import * as FaultPoint from "../ports/FaultPoint.ts"
import * as ParticipantStore from "../ports/ParticipantStore.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as TransactionCommitter from "../ports/TransactionCommitter.ts"
import * as SagaStory from "../tooling/SagaStory.ts"
import * as CrashFilter from "./CrashFilter.ts"
import * as Settling from "./Settling.ts"

export interface Options<Initial, R, E2, A, Shared = never, Steps extends string = string> {
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
export const crashPoints = <Initial, Own, E, R, Out, E2 = never, A = void, Shared = never>(
  saga: Saga<string, Initial, Own, E, R, "committed">,
  options: Options<NoInfer<Initial>, R | Out, E2, A, Shared, NoInfer<keyof Own & string>>
): Effect.Effect<ReadonlyArray<Run<A>>, E2 | SetUpError> =>
  Effect.gen(function* () {
    // Without `shared` it has the type of nothing.
    const shared = yield* Layer.build(options.shared ?? (Layer.empty as Layer.Layer<never> as Layer.Layer<Shared>))
    const met = new Map<FaultPoint.Name, Array<ReadonlyArray<string>>>()
    const calm = yield* run(saga, options, shared, "none", (name, paths) => {
      met.set(name, [...(met.get(name) ?? []), paths])
      return false
    })
    const runs = [calm]
    const isWanted = CrashFilter.of(saga, options.only)
    for (const [name, all] of met) {
      for (const [i, paths] of all.entries()) {
        if (!isWanted(name, paths)) continue
        let left = i + 1
        runs.push(yield* run(saga, options, shared, `${name} ${i + 1}`, (point) => point === name && --left === 0))
      }
    }
    return runs
  }).pipe(Effect.scoped)

export type SetUpError =
  | Layer.Error<ReturnType<typeof SagaManager.layer> | ReturnType<typeof SagaConfig.layer>>
  | SagaManager.StartError

/** With one start key, a second start after a crash continues the same execution. A shared store keeps those of all runs. */
const startKeyOf = (crash: string): string => `saga-test, crash: ${crash}`

const run = Effect.fnUntraced(
  function* <Out, E2, A, Shared>(
    saga: AnyCommitted,
    options: Options<any, Out, E2, A, Shared, any>,
    shared: Context.Context<Shared>,
    crash: string,
    stopsAt: (name: FaultPoint.Name, paths: ReadonlyArray<string>) => boolean
  ): Effect.fn.Return<Run<A>, E2 | SetUpError, Scope.Scope> {
    const outer = yield* Scope.Scope
    const settling = new Settling.Settling()
    const memory = Layer.mergeAll(
      broker,
      unless(shared, ParticipantStore.ParticipantStore, store),
      unless(shared, Repository.SagaExecutionRepository, Repository.layerMemoryWith({ keep: 1 }))
    )
    const world = yield* options.layer.pipe(
      Layer.provideMerge(options.committer ?? TransactionCommitter.layerNone),
      Layer.provideMerge(Layer.effectContext(Effect.map(Layer.build(memory), CrashFilter.watch))),
      Layer.provideMerge(Layer.succeedContext(CrashFilter.watch(settling.watch(shared)))),
      Layer.build
    )
    const startKey = startKeyOf(crash)
    const execute = SagaManager.run(saga, { context: options.context, startKey, raiseOnError: false })

    /** A manager, with a caller who waits for the execution until it is over or the manager is stopped. */
    const attempt = Effect.fnUntraced(function* (fault: FaultPoint.Handler, isStopped: () => boolean) {
      const scope = yield* Scope.fork(outer)
      // `crashPoints` requires the services of the saga; here they are erased.
      const layer = SagaManager.layer([saga]) as Layer.Layer<
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
      const isOver = () => isStopped() || caller.pollUnsafe() !== undefined
      yield* passTime(settling, isOver)
      const exit = caller.pollUnsafe()
      if (!isStopped()) yield* settling.settle(() => false)
      yield* Scope.close(scope, Exit.void)
      return exit
    })

    let stopped = false
    const stop = Effect.andThen(
      Effect.sync(() => {
        stopped = true
      }),
      Effect.never
    )
    let exit = yield* attempt(
      (name, path) =>
        Effect.flatMap(CrashFilter.PathsOfPoint, (paths) =>
          !stopped && stopsAt(name, path === undefined ? paths : [path]) ? stop : Effect.void
        ),
      () => stopped
    )
    if (stopped) {
      exit = yield* attempt(
        () => Effect.void,
        () => false
      )
    }
    if (exit !== undefined) yield* exit
    const repository = Context.get(world, Repository.SagaExecutionRepository)
    // A caller who saw the end, or nobody came to it: the store knows the execution, and keeps the last one.
    const execution = yield* Effect.gen(function* () {
      const { items } = yield* repository.find({ startKey })
      return Execution.bind(yield* repository.load(items[0]?.uuid ?? ""), saga)
    }).pipe(Effect.orDie)
    // Without `inspect` it has the type of nothing.
    const inspect: Effect.Effect<A | undefined, never, any> = options.inspect ?? Effect.undefined
    const inspected = (yield* Effect.provideContext(inspect, world as Context.Context<any>)) as A
    return { crash, execution, story: SagaStory.outline(execution), inspected }
  },
  Effect.scoped,
  Effect.provide(TestClock.layer())
)

/** The layer, where the services of all runs have no such service. */
const unless = <I, S>(
  shared: Context.Context<never>,
  service: Context.Key<I, S>,
  layer: Layer.Layer<I>
): Layer.Layer<I> => (shared.mapUnsafe.has(service.key) ? (Layer.empty as Layer.Layer<never> as Layer.Layer<I>) : layer)

const broker = Layer.fresh(Broker.layerMemory)
const store = Layer.fresh(ParticipantStore.layerMemory)
const config = (options: Partial<SagaConfig.SagaConfigOptions> = {}) =>
  SagaConfig.layer({ service: "saga-test", ...options })

/** Lets time pass where nothing else goes on, an hour at most. */
const passTime = Effect.fnUntraced(function* (settling: Settling.Settling, isOver: () => boolean) {
  for (let passed = 0, step = 100; passed < 3_600_000; passed += step, step = Math.min(step * 2, 60_000)) {
    yield* settling.settle(isOver)
    if (isOver()) return
    yield* TestClock.adjust(step)
  }
})
