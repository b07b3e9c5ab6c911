/** An execution of a saga that the caller names: bound to it where this program can read it. */
import { Effect } from "effect"
import { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import { read, unreadableResult } from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type * as Summary from "../ports/ExecutionSummary.ts"
import { SagaExecutionNotFound } from "../ports/SagaExecutionRepository.ts"
import type { LoadError } from "./ManagerErrors.ts"
import type { Addressee } from "./ManagerOptions.ts"
import type { SagaManager } from "./ManagerService.ts"

type Manager = Pick<SagaManager["Service"], "find" | "load">

type Finding<E> = (filter: Summary.Filter, page: Summary.PageRequest) => Effect.Effect<Summary.Page, E>

export const load = Effect.fnUntraced(function* (
  manager: Manager,
  saga: Definition,
  named: Addressee
): Effect.fn.Return<SagaExecution, LoadError> {
  const { startKey } = named
  const execution = yield* manager.load(startKey === undefined ? named.uuid : yield* uuidOfKey(manager, startKey))
  const { name, fingerprint } = saga
  if (execution.saga !== name) return yield* notFound(named)
  const { creation } = execution.state
  if (creation.fingerprint !== fingerprint)
    return yield* new SagaDefinitionDrift({ saga: name, fingerprint: creation.fingerprint, known: [fingerprint] })
  const bound = yield* Effect.fromResult(read(execution, saga))
  const unreadable = unreadableResult(bound)
  return unreadable === undefined ? bound : yield* unreadable
})

/** The execution that has the start key. `seen` is the manager, or its repository. */
export const uuidOfKey = <E>(seen: { readonly find: Finding<E> }, startKey: string) =>
  Effect.flatMap(seen.find({ startKey }, { limit: 1 }), ({ items: [found] }) =>
    found === undefined ? notFound({ startKey }) : Effect.succeed(found.uuid)
  )

const notFound = ({ startKey, uuid }: Addressee) =>
  Effect.fail(new SagaExecutionNotFound(startKey === undefined ? { uuid } : { uuid: startKey, startKey }))
