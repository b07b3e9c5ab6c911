/**
 * What this process remembers of the summaries that it has written: the last one of each execution, so that only changes are
 * written, and which executions it has started, so that only others hear of those.
 */
import type { SagaState } from "../../execution/rules/SagaState.ts"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { ReleasingMap } from "../../ports/ReleasingMap.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import { changeOf } from "../../ports/SagaQueues.ts"
import type { SummaryRow } from "./SummaryRow.ts"
import type { InboxEffect } from "./WriteStatements.ts"

/** Executions that are remembered. A summary that is not is written again, and a start that is not is announced. */
const most = 100_000

interface Written {
  readonly worth: Worth
  /** Of the last write of this process: after a write of another process the summary is that one's. */
  revision: number
}

export interface WrittenSummaries {
  /** The row that a write brings. Undefined where the write does not change the summary. */
  readonly next: (execution: SagaExecution, hint: Port.Hint | undefined) => SummaryRow | undefined
  /** Another process may have written the summary: the next write writes it again. */
  readonly delete: (uuid: string) => void
  /** A write was refused, or its outcome is unknown. */
  readonly fail: (uuid: string, revision: number) => void
  /** Forgets the summaries of all executions. */
  readonly clear: () => void
}

export const make = (): WrittenSummaries => {
  const written = new ReleasingMap<string, Written>()
  const started = new Set<string>()
  const remember = (uuid: string, summary: Written): void => {
    if (written.size >= most) written.delete(oldestOf(written))
    written.set(uuid, summary)
    if (summary.revision > 1) return
    if (started.size >= most) started.delete(oldestOf(started))
    started.add(uuid)
  }

  return {
    next: (execution, hint) => {
      const { settled, state, uuid } = execution
      const revision = state.revision + 1
      const worth = worthOf(execution, hint)
      const known = written.get(uuid)
      const labels = bringsAttributes(state)
      const isNew = labels || inboxEffect(uuid, hint) !== undefined
      if (known !== undefined && known.revision === state.revision && isSame(known.worth, worth) && !isNew) {
        known.revision = revision
        return undefined
      }
      const announced = revision > 1 && !started.has(uuid)
      if (settled) {
        written.delete(uuid)
        started.delete(uuid)
      } else remember(uuid, { worth, revision })
      return rowOf(execution, hint, worth, { announced, labels })
    },
    delete: (uuid) => void written.delete(uuid),
    fail: (uuid, revision) => {
      written.delete(uuid)
      // Another process may have been first to start it.
      if (revision === 1) started.delete(uuid)
    },
    clear: () => written.clear()
  }
}

const oldestOf = (all: { readonly keys: () => Iterator<string> }): string => all.keys().next().value ?? ""

/** The fields whose change is worth a write of the summary. The step is not among them: it goes along with other changes. */
interface Worth extends Pick<SummaryRow, "claimable" | "owner" | "wakeAt"> {
  readonly status: SagaState["status"]
  readonly direction: SagaState["direction"]
  readonly decision: SagaState["decision"]
  readonly commitState: SagaState["commitState"]
  readonly isParked: boolean
  readonly failure: string | undefined
  readonly settled: boolean
  readonly place: string | undefined
  readonly placeSince: number | undefined
}

const worthOf = ({ parked, settled, state }: SagaExecution, hint: Port.Hint | undefined): Worth => ({
  status: state.status,
  direction: state.direction,
  decision: state.decision,
  commitState: state.commitState,
  isParked: parked.length > 0,
  failure: state.failure?._tag,
  settled,
  place: state.place?.status,
  placeSince: state.place?.since,
  claimable: Port.isClaimable(state),
  owner: hint?.owner ?? null,
  wakeAt: hint?.wakeAt === undefined ? 0 : Number.isFinite(hint.wakeAt) ? Math.ceil(hint.wakeAt) : null
})

const isSame = (one: Worth, other: Worth): boolean =>
  one.status === other.status &&
  one.direction === other.direction &&
  one.decision === other.decision &&
  one.commitState === other.commitState &&
  one.isParked === other.isParked &&
  one.failure === other.failure &&
  one.settled === other.settled &&
  one.place === other.place &&
  one.placeSince === other.placeSince &&
  one.claimable === other.claimable &&
  one.owner === other.owner &&
  one.wakeAt === other.wakeAt

const rowOf = (
  execution: SagaExecution,
  hint: Port.Hint | undefined,
  { claimable, owner, wakeAt }: Worth,
  { announced, labels }: Pick<SummaryRow, "announced" | "labels">
): SummaryRow => {
  const { state } = execution
  return {
    summary: ExecutionSummary.of(execution, state.revision + 1),
    claimable,
    owner,
    wakeAt,
    announced,
    closes: hint?.closes === true,
    takes: hint?.takes === true && state.revision > 0,
    signals: state.revision === 0 ? Port.signalsOf(execution) : undefined,
    labels,
    place: changeOf(state)
  }
}

/** The first write has those of the start, and a later one those that its steps change. */
const bringsAttributes = ({ attributes, creation, history, revision, unstored }: SagaState): boolean => {
  if (attributes === undefined || Object.keys(attributes).length === 0) return false
  if (revision === 0) return true
  if (attributes === creation.attributes) return false
  let node = history
  for (let left = unstored; left > 0 && node !== undefined; left--, node = node.tail)
    if (node.head._tag === "AttributesChanged") return true
  return false
}

/** The change that a write makes to the inbox of its execution; undefined: none. */
export const inboxEffect = (
  uuid: string,
  { closes = false, owner = "", reads = [], takes = false }: Port.Hint = {}
): InboxEffect | undefined =>
  closes || takes || reads.length > 0 ? { uuid, closes, takes: takes ? owner : null, reads } : undefined
