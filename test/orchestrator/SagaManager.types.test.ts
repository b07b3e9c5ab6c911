/**
 * The doors of the manager as the compiler sees them: `run`, `start`, `execute`, `resume`. `same` is the assertion, `@ts-expect-error` a refusal; nothing here
 * runs, so a wrong type is an error of `tsc` on its line.
 */
import { assert, it } from "@effect/vitest"
import { Effect, type Layer, Schema } from "effect"
import {
  type Broker,
  type Json,
  Saga,
  type SagaConfig,
  type SagaError,
  type SagaExecution,
  type SagaExecutionRepository,
  SagaManager,
  SagaResponse,
  type SagaRunner,
  type TransactionCommitter
} from "effect-saga"
import { type CardDeclined, CreateOrder, context, type Journal, type OutOfStock } from "../fixtures/manager.ts"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Equal<A, B>): void => {}

type Ctx = Saga.Context<typeof CreateOrder>
type E = Saga.Error<typeof CreateOrder>
type System = SagaError.SagaSystemError
type Failed =
  | SagaRunner.SagaFailedExecution<E | System>
  | TransactionCommitter.SagaFailedCommitCallback
  | SagaError.SagaParkedForward
type StartError = SagaManager.StartError
type ResumeError = SagaManager.ResumeError
type Manager = SagaManager.SagaManager

same<
  Ctx,
  {
    readonly sku: string
    readonly amount: number
    readonly stock: { readonly reservation: string }
    readonly invoice: string
    readonly payment: { readonly paymentId: string }
  }
>(true)
same<E, OutOfStock | CardDeclined>(true)

const flag: boolean = Math.random() > 2
const response = new SagaResponse({ uuid: "0", content: null })

it("run: result and error types follow the flags", () => {
  const finished = SagaManager.run(CreateOrder, { context, user: "u", startKey: "o" })
  same<typeof finished, Effect.Effect<SagaExecution.Finished<Ctx>, StartError | Failed, Manager>>(true)

  const uuid = SagaManager.run(CreateOrder, { context, pauseOnDisk: true, returnExecution: false })
  same<typeof uuid, Effect.Effect<string, StartError | Failed, Manager>>(true)

  const paused = SagaManager.run(CreateOrder, { context, pauseOnDisk: true })
  same<
    typeof paused,
    Effect.Effect<SagaExecution.Finished<Ctx> | SagaExecution.Paused<Ctx>, StartError | Failed, Manager>
  >(true)

  const quiet = SagaManager.run(CreateOrder, { context, raiseOnError: false })
  same<
    typeof quiet,
    Effect.Effect<
      SagaExecution.Finished<Ctx> | SagaExecution.Parked<Ctx> | SagaExecution.Errored<Ctx, E | System>,
      StartError,
      Manager
    >
  >(true)

  const quietPaused = SagaManager.run(CreateOrder, { context, pauseOnDisk: true, raiseOnError: false })
  same<
    typeof quietPaused,
    Effect.Effect<
      | SagaExecution.Finished<Ctx>
      | SagaExecution.Paused<Ctx>
      | SagaExecution.Parked<Ctx>
      | SagaExecution.Errored<Ctx, E | System>,
      StartError,
      Manager
    >
  >(true)

  const quietUuid = SagaManager.run(CreateOrder, { context, raiseOnError: false, returnExecution: false })
  same<typeof quietUuid, Effect.Effect<string, StartError, Manager>>(true)
  assert.isTrue([finished, uuid, paused, quiet, quietPaused, quietUuid].every(Effect.isEffect))
})

it("run gives the union where a flag is only known as a boolean", () => {
  const someReturn = SagaManager.run(CreateOrder, { context, returnExecution: flag })
  same<typeof someReturn, Effect.Effect<string | SagaExecution.Finished<Ctx>, StartError | Failed, Manager>>(true)

  const someRaise = SagaManager.run(CreateOrder, { context, raiseOnError: flag })
  same<
    typeof someRaise,
    Effect.Effect<
      SagaExecution.Finished<Ctx> | SagaExecution.Parked<Ctx> | SagaExecution.Errored<Ctx, E | System>,
      StartError | Failed,
      Manager
    >
  >(true)

  // Options in a variable: literal flags with `as const`, otherwise they are `boolean`.
  const options = { context, returnExecution: false } as const
  const fromVariable = SagaManager.run(CreateOrder, options)
  same<typeof fromVariable, Effect.Effect<string, StartError | Failed, Manager>>(true)
  const widened = { context, returnExecution: false }
  const fromWidened = SagaManager.run(CreateOrder, widened)
  same<typeof fromWidened, Effect.Effect<string | SagaExecution.Finished<Ctx>, StartError | Failed, Manager>>(true)
  assert.isTrue([someReturn, someRaise, fromVariable, fromWidened].every(Effect.isEffect))
})

it("run does not know the types of an execution that it resumes", () => {
  const resumed = SagaManager.run({ response, pauseOnDisk: true, raiseOnError: false, returnExecution: false })
  same<typeof resumed, Effect.Effect<string, ResumeError, Manager>>(true)
  const execution = SagaManager.run({ response, pauseOnDisk: true })
  same<
    typeof execution,
    Effect.Effect<
      SagaExecution.Finished<unknown> | SagaExecution.Paused<unknown>,
      | ResumeError
      | SagaRunner.SagaFailedExecution<unknown>
      | TransactionCommitter.SagaFailedCommitCallback
      | SagaError.SagaParkedForward,
      Manager
    >
  >(true)
  assert.isTrue([resumed, execution].every(Effect.isEffect))
})

it("execute gives the context, or fails with the declared error itself", () => {
  const order = SagaManager.execute(CreateOrder, { context })
  same<typeof order, Effect.Effect<Ctx, E | Failed | StartError, Manager>>(true)
  const handled = order.pipe(
    Effect.map(({ invoice }) => invoice),
    Effect.catchTag("CardDeclined", (error) => Effect.succeed(error.reason))
  )
  same<typeof handled, Effect.Effect<string, OutOfStock | Failed | StartError, Manager>>(true)
  assert.isTrue(Effect.isEffect(handled))
})

it("start gives the uuid, and fails only with errors before the first write", () => {
  const uuid = SagaManager.start(CreateOrder, { context, startKey: "o", user: "u", autocommit: false })
  same<typeof uuid, Effect.Effect<string, StartError, Manager>>(true)
  assert.isTrue(Effect.isEffect(uuid))
})

it("resume gives a finished execution, or also a paused one where that is asked for", () => {
  type ResumeFailure =
    | ResumeError
    | SagaRunner.SagaFailedExecution<unknown>
    | SagaError.SagaFailedCommitCallback
    | SagaError.SagaParkedForward
  const finished = SagaManager.resume(response)
  same<typeof finished, Effect.Effect<SagaExecution.Finished<unknown>, ResumeFailure, Manager>>(true)
  const end = SagaManager.resume(response, { until: "end", autocommit: false })
  same<typeof end, Effect.Effect<SagaExecution.Finished<unknown>, ResumeFailure, Manager>>(true)
  type Either = SagaExecution.Finished<unknown> | SagaExecution.Paused<unknown>
  const paused = SagaManager.resume(response, { until: "pause" })
  same<typeof paused, Effect.Effect<Either, ResumeFailure, Manager>>(true)
  const until: SagaManager.Until = flag ? "end" : "pause"
  const either = SagaManager.resume(response, { until })
  same<typeof either, Effect.Effect<Either, ResumeFailure, Manager>>(true)
  assert.isTrue([finished, end, paused, either].every(Effect.isEffect))
})

it("load has the types of the saga, by its status", () => {
  const loaded = SagaManager.load(CreateOrder, { startKey: "o" })
  same<Effect.Error<typeof loaded>, SagaManager.LoadError>(true)
  type Loaded = SagaExecution.Finished<Ctx> | SagaExecution.Errored<Ctx, E | System> | SagaExecution.Unfinished<Ctx>
  same<Effect.Success<typeof loaded>, Loaded>(true)
  same<Effect.Services<typeof loaded>, Manager>(true)
  assert.isTrue(Effect.isEffect(loaded))
})

it("actor and reason have one shape, with a reason where one is required", () => {
  type Service = SagaManager.SagaManager["Service"]
  same<Parameters<Service["cancel"]>, [uuid: string, who?: SagaManager.SagaActor | undefined]>(true)
  same<Parameters<Service["reject"]>, [uuid: string, who?: SagaManager.SagaActor | undefined]>(true)
  same<Parameters<Service["retryParked"]>, [uuid: string, path: string, who: SagaManager.SagaActor]>(true)
  type Resolving = [uuid: string, path: string, who: SagaManager.SagaActorWithReason & { readonly result?: Json }]
  same<Parameters<Service["resolveParked"]>, Resolving>(true)
  same<SagaManager.SagaActorWithReason["reason"], string>(true)
  const who: SagaManager.SagaActor = { actor: "ada" }
  assert.strictEqual(who.actor, "ada")
})

it("a manager requires ports, configuration and the services of all sagas, and nothing hidden", () => {
  const layer = SagaManager.layer([CreateOrder])
  same<
    typeof layer,
    Layer.Layer<
      Manager,
      | SagaRunner.SetUpError
      | SagaManager.SagaOwnServiceRequested
      | SagaError.InvalidSetting
      | SagaError.SagaExecutionRepositoryError
      | SagaError.SagaRepositoryUnsupported,
      | SagaExecutionRepository.SagaExecutionRepository
      | Broker.Broker
      | TransactionCommitter.TransactionCommitter
      | SagaConfig.SagaConfig
      | Journal
    >
  >(true)
  assert.isDefined(layer)
})

it("a call that makes no sense does not compile", () => {
  assert.isFunction(refusals)
})

/** Compiled, and never called. */
const refusals = () => {
  const open = Saga.make("Open", { context: { sku: Schema.String } }).pipe(
    Saga.local("one", { execute: () => Effect.void })
  )
  // @ts-expect-error Type '"open"' is not assignable to type '"committed"'. (open saga)
  SagaManager.run(open, { context: { sku: "" } })
  // @ts-expect-error Type '"open"' is not assignable to type '"committed"'. (open saga)
  SagaManager.execute(open, { context: { sku: "" } })
  // @ts-expect-error Type '"open"' is not assignable to type '"committed"'. (open saga)
  SagaManager.layer([CreateOrder, open])
  // @ts-expect-error Type 'string' is not assignable to type 'number'. (wrong context)
  SagaManager.run(CreateOrder, { context: { ...context, amount: "1" } })
  // @ts-expect-error Property 'amount' is missing (missing entry)
  SagaManager.run(CreateOrder, { context: { sku: "book" } })
  // @ts-expect-error Property 'context' is missing in type '{}' (no context)
  SagaManager.run(CreateOrder, {})
  // @ts-expect-error Object literal may only specify known properties, but 'returnExecutoin' does not exist (typo)
  SagaManager.run(CreateOrder, { context, returnExecutoin: false })
  // @ts-expect-error Type 'string' is not assignable to type 'boolean'. (flag)
  SagaManager.run(CreateOrder, { context, returnExecution: "no" })
  // @ts-expect-error Type 'string' is not assignable to type 'undefined'. (two identities)
  SagaManager.run(CreateOrder, { context, uuid: "1", startKey: "o" })
  // @ts-expect-error Object literal may only specify known properties, and 'response' does not exist (response and saga)
  SagaManager.run(CreateOrder, { response: 1 })
  // @ts-expect-error Property 'response' is missing (nothing)
  SagaManager.run({})
  // @ts-expect-error Type 'string' is not assignable to type 'number'. (wrong context)
  SagaManager.execute(CreateOrder, { context: { ...context, amount: "1" } })
  // @ts-expect-error Object literal may only specify known properties, and 'returnExecution' does not exist (flag of run)
  SagaManager.execute(CreateOrder, { context, returnExecution: false })
  // @ts-expect-error Type '"open"' is not assignable to type '"committed"'. (open saga)
  SagaManager.start(open, { context: { sku: "" } })
  // @ts-expect-error Type 'string' is not assignable to type 'number'. (wrong context)
  SagaManager.start(CreateOrder, { context: { ...context, amount: "1" } })
  // @ts-expect-error Object literal may only specify known properties, and 'pauseOnDisk' does not exist (flag of run)
  SagaManager.start(CreateOrder, { context, pauseOnDisk: true })
  // @ts-expect-error Type 'string' is not assignable to type 'undefined'. (two identities)
  SagaManager.start(CreateOrder, { context, uuid: "1", startKey: "o" })
  // @ts-expect-error Type '"never"' is not assignable to type '"end" | "pause"'. (until)
  SagaManager.resume(response, { until: "never" })
  // @ts-expect-error Object literal may only specify known properties, and 'uuid' does not exist (it is in the response)
  SagaManager.resume(response, { uuid: "1" })
  // @ts-expect-error Object literal may only specify known properties, and 'uuid' does not exist (a resume has none)
  SagaManager.run({ response, uuid: "1" })
}
