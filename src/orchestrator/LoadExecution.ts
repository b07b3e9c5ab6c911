/** An execution of a saga that the caller names: bound to it where this program can read it. */
import { Effect } from "effect"
import { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import { read, unreadableResult } from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { SagaExecutionNotFound } from "../ports/SagaExecutionRepository.ts"
import type { LoadError } from "./ManagerErrors.ts"
import type { Addressee } from "./ManagerOptions.ts"
import type { SagaManager } from "./ManagerService.ts"

type Manager = Pick<SagaManager["Service"], "find" | "load">

export const load = Effect.fnUntraced(function* (
  manager: Manager,
  saga: Definition,
  named: Addressee
): Effect.fn.Return<SagaExecution, LoadError> {
  const execution = yield* manager.load(yield* uuidOf(manager, named))
  const { name, fingerprint } = saga
  if (execution.saga !== name) return yield* new SagaExecutionNotFound({ uuid: execution.uuid })
  const { creation } = execution.state
  if (creation.fingerprint !== fingerprint)
    return yield* new SagaDefinitionDrift({ saga: name, fingerprint: creation.fingerprint, known: [fingerprint] })
  const bound = yield* Effect.fromResult(read(execution, saga))
  const unreadable = unreadableResult(bound)
  return unreadable === undefined ? bound : yield* unreadable
})

const uuidOf = (manager: Manager, { startKey, uuid }: Addressee) =>
  startKey === undefined
    ? Effect.succeed(uuid)
    : Effect.flatMap(manager.find({ startKey }, { limit: 1 }), ({ items: [found] }) =>
        found === undefined ? Effect.fail(new SagaExecutionNotFound({ uuid: startKey })) : Effect.succeed(found.uuid)
      )
