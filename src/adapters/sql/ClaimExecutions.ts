/** Claims executions: renews the lease, takes what is due, and reads it together with the inputs that wait for it. */
import { Effect, Result } from "effect"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import type * as Port from "../../ports/SagaExecutionRepository.ts"
import { call, inputFrom } from "./ExecutionRows.ts"
import type { LimitedStatements } from "./LimitedStatements.ts"

/** Bytes of the inputs that a claim reads, about. The others come with the next claims. */
const maxInboxBytes = 8 * 1024 * 1024

/** How often inputs that were left behind are looked for, in milliseconds. */
const remindMillis = 10_000

type Read = (
  uuids: ReadonlyArray<string>
) => Effect.Effect<
  ReadonlyMap<string, Result.Result<SagaExecution, Port.SagaExecutionRepositoryError>>,
  Port.SagaExecutionRepositoryError
>

/** `summaries`: those that this process remembers as written. A claim changes them. */
export const make = (
  statements: LimitedStatements,
  read: Read,
  summaries: Pick<Map<string, unknown>, "delete" | "clear">
) => {
  let remindedAt = Number.NEGATIVE_INFINITY
  /** Only a process of a former release leaves inputs behind, so this is done now and then. */
  const remind = (now: number) =>
    Effect.suspend(() => {
      if (Math.abs(now - remindedAt) < remindMillis) return Effect.void
      remindedAt = now
      return call("claim", statements.remind(now))
    })
  return Effect.fnUntraced(function* (
    request: Port.ClaimRequest
  ): Effect.fn.Return<Port.Claimed, Port.SagaExecutionRepositoryError> {
    const { dueBy = request.now, except = [], fingerprints, former, holds = [], leaseMillis, limit, owner } = request
    const begins = holds.length === 0 || former !== undefined
    const lapsed = yield* call("claim", statements.renew(owner, leaseMillis, begins))
    // After a lapse other processes may have written any of them.
    if (lapsed || former !== undefined) summaries.clear()
    if (lapsed) return { executions: [], lapsed, lost: [], inbox: [] }
    const held = holds.map(({ uuid }) => uuid)
    const lost =
      former !== undefined
        ? yield* call("claim", statements.adopt(owner, former, held))
        : held.length === 0
          ? []
          : yield* call("claim", statements.lost(owner, held))
    const sparing = request.spares === true ? [owner, former ?? owner] : undefined
    const claims = statements.claim({ owner, limit, dueBy, fingerprints, holds: request.holds, except, sparing })
    if (limit > 0) yield* remind(request.now)
    const { nextAt, rows } = limit > 0 ? yield* call("claim", claims) : { rows: [] }
    const uuids = rows.map(({ uuid }) => uuid)
    const dueAt = new Map(rows.flatMap(({ dueAt, uuid }) => (dueAt === null ? [] : [[uuid, Number(dueAt)] as const])))
    for (const uuid of uuids) summaries.delete(uuid)
    const executions: Array<SagaExecution> = []
    const unreadable: Array<string> = []
    if (uuids.length > 0) {
      const found = yield* read(uuids)
      for (const uuid of uuids) {
        // An execution without a fact is as unreadable as one with a wrong fact: it would stay claimed in silence.
        const execution = found.get(uuid)
        if (execution !== undefined && Result.isSuccess(execution)) executions.push(execution.success)
        else unreadable.push(uuid)
      }
    }
    // Another process may have a newer version, which can read them.
    if (unreadable.length > 0) yield* call("claim", statements.disown(owner, unreadable))
    const gone = new Set(lost)
    const mine = [...uuids, ...held.filter((uuid) => !gone.has(uuid))]
    const inbox = mine.length === 0 ? [] : yield* call("claim", statements.ofClaim.inbox(mine, maxInboxBytes))
    return {
      executions,
      lapsed,
      lost,
      inbox: inbox.map(inputFrom),
      dueAt,
      ...(nextAt !== undefined && { nextAt }),
      unreadable
    }
  })
}
