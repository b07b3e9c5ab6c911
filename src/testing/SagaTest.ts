/**
 * Every crash point of a saga, in memory: its manager is stopped at each instruction at which a crash makes a
 * difference (SPEC C15), a new one goes on, and the test looks at what has come of it. The store, the messages and the
 * services that the test provides outlive the manager, as a database and other processes do.
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

export interface Options<Initial, R, E2, A> {
  /** The initial values of every run. */
  readonly context: Initial
  /** The services that the steps use, and participants: made anew for each run, and not stopped. */
  readonly layer: Layer.Layer<R, E2, Broker.Broker | ParticipantStore.ParticipantStore>
  /** Reads the state of those services when a run is over; the result is in `Run.inspected`. Default: nothing. */
  readonly inspect?: Effect.Effect<A, never, R>
  /** Asks the participants of a commit. Default: `TransactionCommitter.layerNone`, no participant is asked. */
  readonly committer?: Layer.Layer<TransactionCommitter.TransactionCommitter, never, Broker.Broker>
  /** Default: a service named `saga-test`. */
  readonly config?: Partial<SagaConfig.SagaConfigOptions>
}

export interface Run<out A> {
  /** Where the manager was stopped: `publish.after 2` is right after the second message left. */
  readonly crash: string
  readonly execution: SagaExecution
  /** The execution in words (`SagaStory.outline`). */
  readonly story: ReadonlyArray<string>
  readonly inspected: A
}

/** Runs the saga without a crash, and then once for each place where one can happen. The first run is the calm one. */
export const crashPoints = <Initial, Own, E, R, Out, E2 = never, A = void>(
  saga: Saga<string, Initial, Own, E, R, "committed">,
  options: Options<NoInfer<Initial>, NoInfer<R> | Out, E2, A>
): Effect.Effect<ReadonlyArray<Run<A>>, E2 | SetUpError> =>
  Effect.gen(function* () {
    const met = new Map<FaultPoint.Name, number>()
    const calm = yield* run(saga, options, "none", (name) => {
      met.set(name, (met.get(name) ?? 0) + 1)
      return false
    })
    const runs = [calm]
    for (const [name, times] of met) {
      for (let nth = 1; nth <= times; nth++) {
        let left = nth
        runs.push(yield* run(saga, options, `${name} ${nth}`, (point) => point === name && --left === 0))
      }
    }
    return runs
  })

export type SetUpError =
  | Layer.Error<ReturnType<typeof SagaManager.layer> | ReturnType<typeof SagaConfig.layer>>
  | SagaManager.StartError

/** With one start key, a second start after a crash continues the same execution. */
const startKey = "saga-test"

const run = Effect.fnUntraced(
  function* <Out, E2, A>(
    saga: AnyCommitted,
    options: Options<any, Out, E2, A>,
    crash: string,
    stopsAt: (name: FaultPoint.Name) => boolean
  ): Effect.fn.Return<Run<A>, E2 | SetUpError, Scope.Scope> {
    const outer = yield* Scope.Scope
    const world = yield* options.layer.pipe(
      Layer.provideMerge(options.committer ?? TransactionCommitter.layerNone),
      Layer.provideMerge(Layer.mergeAll(broker, store, Repository.layerMemoryWith({ keep: 1 }))),
      Layer.build
    )
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
      yield* passTime(() => isStopped() || caller.pollUnsafe() !== undefined)
      const exit = caller.pollUnsafe()
      if (!isStopped()) yield* turns
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
      (name) => (!stopped && stopsAt(name) ? stop : Effect.void),
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
      const { items } = yield* repository.find({})
      return Execution.bind(yield* repository.load(items[0]?.uuid ?? ""), saga)
    }).pipe(Effect.orDie)
    // Without `inspect` it has the type of nothing.
    const inspected = (yield* Effect.provideContext(options.inspect ?? Effect.undefined, world)) as A
    return { crash, execution, story: SagaStory.outline(execution), inspected }
  },
  Effect.scoped,
  Effect.provide(TestClock.layer())
)

const broker = Layer.fresh(Broker.layerMemory)
const store = Layer.fresh(ParticipantStore.layerMemory)
const config = (options: Partial<SagaConfig.SagaConfigOptions> = {}) =>
  SagaConfig.layer({ service: "saga-test", ...options })

/** Lets everything that is under way go on; no time passes. What comes from outside needs real turns of the loop. */
const turns = Effect.forEach(
  Array.from({ length: 20 }),
  () => Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void))),
  { discard: true }
)

/** Lets time pass where nothing else goes on, an hour at most. */
const passTime = Effect.fnUntraced(function* (isOver: () => boolean) {
  for (let passed = 0, step = 100; passed < 3_600_000; passed += step, step = Math.min(step * 2, 60_000)) {
    yield* turns
    if (isOver()) return
    yield* TestClock.adjust(step)
  }
})
