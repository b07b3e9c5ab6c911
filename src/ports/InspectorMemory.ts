/** The inspector on a repository: reads its summaries, and groups them in the memory of this process. */
import { Clock, Duration, Effect, Layer, Option, Result } from "effect"
import * as Uuid from "../wire/Uuid.ts"
import { DeadLetters } from "./DeadLetters.ts"
import * as Summary from "./ExecutionSummary.ts"
import { Inspector, InspectorError, type ParkedGroup } from "./Inspector.ts"
import { act, decideInDoubt, type Storage } from "./InspectorActions.ts"
import * as Groups from "./InspectorGroups.ts"
import * as MergedGroups from "./MergedGroups.ts"
import { ParticipantStore } from "./ParticipantStore.ts"
import type { SagaRepositoryUnsupported } from "./RepositoryErrors.ts"
import {
  SagaExecutionNotFound,
  SagaExecutionRepository,
  type SagaExecutionRepositoryError
} from "./SagaExecutionRepository.ts"
import * as Setting from "./Setting.ts"

export interface MemoryOptions {
  /** The participants whose transactions in doubt and unanswered commands are listed, by name. Default: none. */
  readonly services?: ReadonlyArray<string>
}

const failed = (operation: string) => (error: SagaExecutionRepositoryError | SagaRepositoryUnsupported) =>
  error._tag === "SagaRepositoryUnsupported"
    ? new InspectorError({ reason: "unsupported", operation })
    : new InspectorError({ reason: error.reason, operation, cause: error })

const call = <A, E>(
  operation: string,
  run: Effect.Effect<A, E | SagaExecutionRepositoryError | SagaRepositoryUnsupported>
): Effect.Effect<A, Exclude<E, SagaExecutionRepositoryError | SagaRepositoryUnsupported> | InspectorError> =>
  Effect.mapError(run, (error) => {
    const { _tag } = error as { readonly _tag: string }
    return _tag === "SagaExecutionRepositoryError" || _tag === "SagaRepositoryUnsupported"
      ? failed(operation)(error as SagaExecutionRepositoryError)
      : (error as Exclude<E, SagaExecutionRepositoryError | SagaRepositoryUnsupported>)
  })

/** Summaries that are read at once. */
const pageSize = 1_000

const make = (options: MemoryOptions) =>
  Effect.gen(function* () {
    const { services = [] } = yield* Effect.orDie(Setting.known("Inspector", options, { services: true }))
    const repository = yield* SagaExecutionRepository
    const letters = yield* DeadLetters
    const participants = yield* Effect.serviceOption(ParticipantStore)

    const all = Effect.fnUntraced(function* (operation: string, filter: Summary.Filter) {
      const found: Array<Summary.ExecutionSummary> = []
      let after: string | undefined
      do {
        const request = { limit: pageSize, ...(after !== undefined && { after }) }
        const page: Summary.Page = yield* call(operation, repository.find(filter, request))
        found.push(...page.items)
        after = page.next
      } while (after !== undefined)
      return found
    })

    const one = Effect.fnUntraced(function* (target: string) {
      const uuid = Uuid.normalize(target)
      const loaded =
        uuid === undefined
          ? Result.fail(new SagaExecutionNotFound({ uuid: target }))
          : yield* Effect.result(call("load", repository.load(uuid)))
      if (Result.isSuccess(loaded)) return loaded.success
      if (loaded.failure._tag !== "SagaExecutionNotFound") return yield* Effect.fail(loaded.failure)
      const [named] = (yield* call("load", repository.find({ startKey: target }, { limit: 1 }))).items
      if (named === undefined) return yield* Effect.fail(loaded.failure)
      return yield* call("load", repository.load(named.uuid))
    })

    const load: Inspector["Service"]["load"] = Effect.fnUntraced(function* (target) {
      const execution = yield* one(target)
      const inbox = yield* call("load", repository.inbox(execution.uuid))
      return { summary: Summary.of(execution), inbox, facts: execution.events }
    })

    const parked = Effect.gen(function* () {
      const groups = Groups.parked(yield* all("parked", { parked: true }))
      return yield* Effect.forEach(groups.slice(0, Groups.maxGroups), (group) =>
        Effect.map(
          Effect.option(one(group.sample)),
          (sample): ParkedGroup => ({
            ...group,
            places: Option.match(sample, { onNone: () => [], onSome: Groups.placesOf })
          })
        )
      )
    })

    const storage: Storage = {
      read: one,
      submit: (row, signal) => call("act", repository.submit(row, signal)),
      waiting: (uuid) => Effect.map(call("act", repository.inbox(uuid)), (rows) => rows.map(({ id }) => id))
    }

    return Inspector.of({
      missing: Effect.succeed([]),
      find: (filter, page) => call("find", repository.find(filter, page)),
      count: (saga) => Effect.map(all("count", saga === undefined ? {} : { saga }), Groups.counts),
      waiting: Effect.map(all("waiting", { settled: false }), Groups.waiting),
      load,
      parked,
      stalled: Effect.map(parked, (groups) => groups.filter(Groups.isStalled)),
      // A process that is alone takes what is due.
      overdue: () => Effect.succeed([]),
      inDoubt: (longer) =>
        Option.match(participants, {
          onNone: () => Effect.succeed([]),
          onSome: (store) => inDoubtIn(store, services, longer)
        }),
      commands: Option.match(participants, {
        onNone: () => Effect.succeed([]),
        onSome: (store) => commandsIn(store, services)
      }),
      deadLetters: (limit = 100) =>
        Effect.mapError(
          letters.list({ limit }),
          (cause) => new InspectorError({ reason: "unavailable", operation: "deadLetters", cause })
        ),
      processes: Effect.succeed([]),
      census: call("census", repository.census),
      act: act(storage),
      decideInDoubt: decideInDoubt(
        Option.getOrUndefined(participants)?.doubts,
        (cause) =>
          new InspectorError({
            reason: cause.reason === "timeout" || cause.reason === "broken" ? "unavailable" : cause.reason,
            operation: "decideInDoubt",
            cause
          })
      )
    })
  })

const inDoubtIn = Effect.fnUntraced(function* (
  store: ParticipantStore["Service"],
  services: ReadonlyArray<string>,
  longer: Duration.Input
) {
  const before = (yield* Clock.currentTimeMillis) - Duration.toMillis(longer)
  const found = yield* Effect.forEach(services, (service) =>
    Effect.map(store.find({ service, status: "reserved", before, limit: MergedGroups.maxInDoubt }), (transactions) =>
      transactions.map(({ coordinator, updatedAt, uuid }) => ({
        service,
        uuid,
        since: updatedAt,
        ...(coordinator !== undefined && { coordinator })
      }))
    )
  ).pipe(Effect.mapError((cause) => new InspectorError({ reason: "unavailable", operation: "inDoubt", cause })))
  return found.flat().slice(0, MergedGroups.maxInDoubt)
})

const commandsIn = Effect.fnUntraced(function* (
  { unanswered = () => Effect.succeed([]) }: ParticipantStore["Service"],
  services: ReadonlyArray<string>
) {
  const now = yield* Clock.currentTimeMillis
  const groups = yield* Effect.forEach(services, (service) =>
    Effect.map(unanswered(service), (rows) => Groups.commands(service, rows, now))
  )
  return groups.flat().slice(0, Groups.maxGroups)
})

/**
 * On any repository that lists its executions, such as that in memory: it reads their summaries each time. It knows no processes,
 * and nothing is overdue. For a database use its own layer.
 */
export const layer = (options: MemoryOptions = {}): Layer.Layer<Inspector, never, SagaExecutionRepository> =>
  Layer.effect(Inspector, make(options))
