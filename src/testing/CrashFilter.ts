/**
 * Which crash points a test tries. A point does not know the step that it is about: the ports around it do, by the facts that are
 * written, or by the message that is sent or was received.
 */
import { Context, Effect, Result, Stream } from "effect"
import * as SagaPath from "../definition/SagaPath.ts"
import type { Definition } from "../definition/SagaStep.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as Broker from "../ports/Broker.ts"
import type * as FaultPoint from "../ports/FaultPoint.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"

/** The paths of the steps that the operation around a point is about. */
export const PathsOfPoint = Context.Reference<ReadonlyArray<string>>("effect-saga/testing/PathsOfPoint", {
  defaultValue: () => []
})

const about =
  (paths: ReadonlyArray<string>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, PathsOfPoint, paths)

const ofMessage = (message: Broker.Message): ReadonlyArray<string> => {
  const read = Broker.read(message)
  return Result.isSuccess(read) && read.success.path !== undefined ? [read.success.path] : []
}

const ofWrite = (execution: Parameters<typeof Execution.unstored>[0]): ReadonlyArray<string> =>
  Execution.unstored(execution).flatMap((event) => ("path" in event ? event.path : []))

/** The same services, with ports that tell the points inside them which steps they are about. */
export const watch = <I>(services: Context.Context<I>): Context.Context<I> => {
  const watched = new Map(services.mapUnsafe)
  const replace = <Id, S extends object>(port: Context.Key<Id, S>, change: (service: S) => Partial<S>): void => {
    const service = services.mapUnsafe.get(port.key) as S | undefined // cast: it stands under its key
    if (service !== undefined) watched.set(port.key, { ...service, ...change(service) })
  }
  replace(Repository.SagaExecutionRepository, ({ store }) => ({
    store: (execution, hint) => about(ofWrite(execution))(store(execution, hint))
  }))
  replace(Broker.Broker, ({ publish, subscribe }) => ({
    publish: (message) => about(ofMessage(message))(publish(message)),
    subscribe: (group) =>
      Stream.map(subscribe(group), (delivery) => ({
        ...delivery,
        acknowledge: about(ofMessage(delivery))(delivery.acknowledge)
      }))
  }))
  return Context.makeUnsafe(watched)
}

const operations: ReadonlyArray<string> = [
  "store",
  "publish",
  "acknowledge",
  "callback"
] satisfies ReadonlyArray<FaultPoint.Operation>

/** Whether a point is tried. `only` has names of steps, of operations and of points; absent: all are tried. */
export const of = (definition: Definition, only: string | ReadonlyArray<string> | undefined) => {
  const names = [only ?? []].flat()
  const isPoint = (name: string) => operations.includes(name.split(".")[0] ?? "")
  const stepNames = names.filter((name) => !isPoint(name))
  const points = names.filter(isPoint)
  const wanted = SagaPath.steps(definition).flatMap(({ path, step }) => (stepNames.includes(step.name) ? path : []))
  const isWithin = (path: string) => {
    const at = SagaPath.inDefinition(path)
    return wanted.some((outer) => at === outer || at.startsWith(`${outer}/`))
  }
  return (point: FaultPoint.Name, paths: ReadonlyArray<string>): boolean =>
    (points.length === 0 || points.some((name) => point === name || point.startsWith(`${name}.`))) &&
    (stepNames.length === 0 || paths.some(isWithin))
}
