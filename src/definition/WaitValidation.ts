/** The rules of waits that need more than one step to be seen: who waits at the same time, and what is open meanwhile. */
import {
  DeadlineRequired,
  InvalidOption,
  InvalidPolicy,
  type SagaDefinitionError,
  SignalAwaitedTwice
} from "./SagaIssue.ts"
import * as SagaPath from "./SagaPath.ts"
import type { Definition, Remote, SagaStep, Wait } from "./SagaStep.ts"

type Issues = Generator<SagaDefinitionError, void>

/** One name is one signal: a payload is read by one schema. */
export function* signalsOfOneName(definition: Definition): Issues {
  const known = SagaPath.signals(definition)
  for (const [path, step] of SagaPath.index(definition)) {
    if (step._tag !== "Wait" || step.signal === undefined || known.get(step.signal.name) === step.signal) continue
    const expected = "the same value for each step that waits for a signal of this name"
    yield new InvalidOption({ saga: definition.name, path, step: step.name, option: "signal", expected })
  }
}

/** Branches and items run at the same time, so a signal that two of them wait for needs a key (SPEC C16). */
export function* signalsAwaitedTwice(definition: Definition): Issues {
  for (const [path, parallel] of SagaPath.index(definition)) {
    if (parallel._tag === "Wait" && path.includes("/i/") && parallel.signal !== undefined && !parallel.key) {
      const { name: step, signal } = parallel
      yield new SignalAwaitedTwice({ saga: definition.name, path, step, signal: signal.name, awaitedBy: path })
    }
    if (parallel._tag !== "Parallel") continue
    const before = new Map<string, string>()
    for (const branch of SagaPath.sequences(parallel, path)) {
      const waits = within(branch).flatMap(({ path, step }) =>
        step._tag === "Wait" && step.signal !== undefined && step.key === undefined
          ? [{ path, step: step.name, signal: step.signal.name }]
          : []
      )
      for (const wait of waits) {
        const awaitedBy = before.get(wait.signal)
        if (awaitedBy !== undefined) yield new SignalAwaitedTwice({ saga: definition.name, ...wait, awaitedBy })
      }
      for (const { path, signal } of waits) if (!before.has(signal)) before.set(signal, path)
    }
  }
}

/**
 * A saga needs a deadline where a wait without a limit stands behind a request that may have to be undone, or beside it in
 * another branch: until then its participant keeps the records of it (SPEC C16). With a two-phase commit, `transactional`, every
 * request is one. Behind a pivot nothing has to be undone.
 */
export function* deadlineRequired(definition: Definition, transactional: boolean): Issues {
  const { name: saga } = definition
  const steps = SagaPath.reversible(definition)
  yield* inSequence({ saga, isRequest: transactional ? isRemote : mayBeUndone }, { path: "", steps }, undefined)
}

/**
 * A command that answers later has a time: that of its step, or the deadline of the saga (SPEC C19). Behind the pivot no deadline
 * counts.
 */
export function* answersInTime(definition: Definition): Issues {
  const before = SagaPath.reversible(definition).length
  for (const [path, step] of SagaPath.index(definition)) {
    if (step._tag !== "Remote" || step.execute?.later !== true || step.policies.timeout !== undefined) continue
    const isBehind = Number.parseInt(path, 10) > before
    if (definition.deadline !== undefined && !isBehind) continue
    const other = isBehind ? "" : ", or 'deadline' in Saga.make"
    const rule = `is needed${other}: its command answers later`
    yield new InvalidPolicy({ saga: definition.name, path, step: step.name, option: "timeout", rule })
  }
}

interface Search {
  readonly saga: string
  readonly isRequest: (step: SagaStep) => boolean
}

/** Gives the path of a request that may have to be undone by now. */
function* inSequence(
  search: Search,
  sequence: SagaPath.Sequence,
  before: string | undefined
): Generator<SagaDefinitionError, string | undefined> {
  const { isRequest, saga } = search
  let remote = before
  for (const [i, step] of sequence.steps.entries()) {
    const path = SagaPath.child(sequence.path, i)
    if (step._tag === "Wait" && remote !== undefined && isUnlimited(step)) {
      yield new DeadlineRequired({ saga, path, step: step.name, remote })
    }
    if (remote === undefined && isRequest(step)) remote = path
    const inner = SagaPath.sequences(step, path)
    let after = remote
    for (const one of inner) {
      // The items before have sent the requests of the whole sequence.
      const beside =
        step._tag === "Parallel" ? inner.filter((other) => other !== one) : step._tag === "ForEach" ? inner : []
      const found = yield* inSequence(search, one, remote ?? requestIn(beside, isRequest))
      after ??= found
    }
    remote = after
  }
  return remote
}

const isUnlimited = ({ timeout }: Wait): boolean => timeout === undefined

const isRemote = (step: SagaStep): step is Remote => step._tag === "Remote"

const mayBeUndone = (step: SagaStep): boolean =>
  isRemote(step) && (step.compensate !== undefined || step.execute?.effect === "staged")

const requestIn = (sequences: ReadonlyArray<SagaPath.Sequence>, isRequest: Search["isRequest"]): string | undefined =>
  sequences.flatMap(within).find(({ step }) => isRequest(step))?.path

/** All steps of a sequence, and those inside them. */
const within = ({ path, steps }: SagaPath.Sequence): ReadonlyArray<SagaPath.Located> =>
  steps.flatMap((step, i) => {
    const at = SagaPath.child(path, i)
    return [{ path: at, step }, ...SagaPath.sequences(step, at).flatMap(within)]
  })
