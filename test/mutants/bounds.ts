/** SPEC C14, C16, C18: until when an execution can turn back, and how long its participants keep what that needs. */
import type { Mutant } from "./Mutant.ts"

const ninety = "test/orchestrator/boundsInTime.test.ts"
const deadline = "test/orchestrator/deadline.test.ts"
const times = "test/definition/timeBounds.test.ts"
const waits = "test/definition/waits.test.ts"
const keep = "test/participant/keepUntil.test.ts"
const participant = "test/participant/Participant.test.ts"
const table = "test/participant/ParticipantDecision.test.ts"
const ambient = "test/participant/Transactional.test.ts"

const machine = "src/participant/ParticipantDecision.ts"
const request = "src/orchestrator/steps/RemoteStep.ts"
const from = "src/definition/TimeBounds.ts"

export const bounds: ReadonlyArray<Mutant> = [
  {
    rule: "C16",
    what: "a request does not say until when its execution can turn back",
    file: request,
    find: "...(until !== undefined && { keepUntil: until })",
    replace: "",
    tests: [ninety, deadline]
  },
  {
    rule: "C16",
    what: "a request says the bounds of its steps where its execution has a deadline",
    file: request,
    find: "const { deadline = endOf(scope, path, at), start } = scope.state",
    replace: "const { start } = scope.state\n  const deadline = endOf(scope, path, at)",
    tests: [deadline]
  },
  {
    rule: "C16",
    what: "the votes take no time",
    file: request,
    find: "(state.start?.transactional === true ? schedule.reserveTimeout : 0)",
    replace: "0",
    tests: [deadline]
  },
  {
    rule: "C16",
    what: "a saga in a handler can turn back for longer than it says",
    file: request,
    find: "Math.max(deadline, outer ?? deadline)",
    replace: "deadline",
    tests: [deadline]
  },
  {
    rule: "C16",
    what: "the steps that follow take no time",
    file: from,
    find: "left += boundOf(",
    replace: "left = boundOf(",
    tests: [times, ninety]
  },
  {
    rule: "C16",
    what: "a branch does not wait for the others",
    file: from,
    find: "Math.max(left, beside)",
    replace: "left",
    tests: [times]
  },
  {
    rule: "C16",
    what: "a record is kept as if its execution could not turn back later than its message runs",
    file: machine,
    find: "Math.max(KeptTimes.believed(envelope.notAfter, now), envelope.keepUntil ?? 0, now)",
    replace: "Math.max(envelope.notAfter, now)",
    tests: [ninety, keep]
  },
  {
    rule: "C14",
    what: "an answer to an old message is forgotten at once",
    file: machine,
    find: "Math.max(KeptTimes.believed(envelope.notAfter, now), envelope.keepUntil ?? 0, now)",
    replace: "Math.max(KeptTimes.believed(envelope.notAfter, now), envelope.keepUntil ?? 0)",
    tests: [keep]
  },
  {
    rule: "C16",
    what: "a transaction is given up before its execution can no longer turn back",
    file: "src/participant/KeptTimes.ts",
    find: "Math.max(known?.updatedAt ?? now, keepUntil ?? now, now)",
    replace: "Math.max(known?.updatedAt ?? now, now)",
    tests: [ninety, keep, ambient]
  },
  {
    rule: "C16",
    what: "a later command takes back the time that an earlier one has said",
    file: "src/participant/KeptTimes.ts",
    find: "Math.max(known?.updatedAt ?? now, keepUntil ?? now, now)",
    replace: "Math.max(keepUntil ?? now, now)",
    tests: [keep]
  },
  {
    rule: "C6",
    what: "a compensation whose record is gone is done again",
    file: "src/participant/HandleMessage.ts",
    find: '{ ...executed, effect: "none", open: false }',
    replace: "{ ...executed, open: false }",
    tests: [keep]
  },
  {
    rule: "C6",
    what: "a message that release 0.1.0 has answered counts as another one where it says keepUntil",
    file: "src/wire/Envelope.ts",
    find: "  keepUntil,\n  later,\n  recordedUntil,\n",
    replace: "  later,\n  recordedUntil,\n",
    tests: [table]
  },
  {
    rule: "C18",
    what: "the deadline of a run counts also where that of its saga is earlier",
    file: "src/execution/view/SagaExecution.ts",
    find: "Math.min(self.state.creation.at + longest, ofRun)",
    replace: "Math.min(ofRun, Math.max(self.state.creation.at + longest, ofRun))",
    tests: [deadline]
  },
  {
    rule: "C18",
    what: "the deadline of a run does not count where its saga has one",
    file: "src/execution/view/SagaExecution.ts",
    find: "Math.min(self.state.creation.at + longest, ofRun)",
    replace: "Number.isFinite(longest) ? self.state.creation.at + longest : ofRun",
    tests: [deadline]
  },
  {
    rule: "C18",
    what: "an execution by hand gets the deadline of its saga only",
    file: "src/execution/view/SagaExecution.ts",
    find: "return deadline === undefined ? created : timed(created, now, deadline)",
    replace: "return created",
    tests: [deadline]
  },
  {
    rule: "C11",
    what: "the deadline of a run may be more than 10 years ahead",
    file: "src/definition/Deadline.ts",
    find: "time <= now + limits.duration ? time",
    replace: "time > 0 ? time",
    tests: [times]
  },
  {
    rule: "C11",
    what: "a duration that is none is a deadline",
    file: "src/definition/Deadline.ts",
    find: "left > 0 && left <= limits.duration",
    replace: "left <= limits.duration",
    tests: [times, deadline]
  },
  {
    rule: "C16",
    what: "with a two-phase commit a wait without a limit stands behind a request that cannot be undone",
    file: "src/definition/WaitValidation.ts",
    find: "transactional ? isRemote : mayBeUndone",
    replace: "mayBeUndone",
    tests: [waits, deadline]
  },
  {
    rule: "C16",
    what: "the layer of a manager does not know that its committer opens transactions",
    file: "src/orchestrator/Registration.ts",
    find: "transactional === true ? { transactional } : undefined",
    replace: "undefined",
    tests: [deadline]
  },
  {
    rule: "C16",
    what: "the request of a handler does not say until when its execution can turn back",
    file: "src/ports/RequestHeaders.ts",
    find: "...(keepUntil !== undefined && { keep_until: String(keepUntil) })",
    replace: "",
    tests: [participant]
  },
  {
    rule: "C16",
    what: "a server that joins a transaction gives it up after an hour",
    file: "src/participant/Transactional.ts",
    find: "pendingFrom(known, keepUntil, now)",
    replace: "pendingFrom(known, undefined, now)",
    tests: [ambient]
  },
  {
    rule: "C6",
    what: "a participant in memory sleeps while a transaction is to be given up",
    file: "src/ports/ParticipantStore.ts",
    find: "updatedAt + ages.pending",
    replace: "Number.POSITIVE_INFINITY",
    tests: [participant]
  },
  {
    rule: "C18",
    what: "nobody looks when the time of an execution is over whose caller does not decide",
    file: "src/ports/Leases.ts",
    find: "(autocommit || isTimed)",
    replace: "autocommit",
    tests: [deadline, "test/ports/SagaExecutionRepository.test.ts"]
  },
  {
    rule: "C16",
    what: "what stands behind the point of no return counts in the time before it",
    file: from,
    find: "steps: SagaPath.reversible(definition)",
    replace: "steps: definition.steps",
    tests: [times]
  },
  {
    rule: "C16",
    what: "a wait without a limit behind the point of no return needs a deadline",
    file: "src/definition/WaitValidation.ts",
    find: "const steps = SagaPath.reversible(definition)",
    replace: "const { steps } = definition",
    tests: [waits]
  },
  {
    rule: "C16",
    what: "participants keep for undoing what is asked behind the point of no return",
    file: request,
    find: "  if (scope.state.passed) return undefined\n",
    replace: "",
    tests: [deadline]
  },
  {
    rule: "C11",
    what: "a sender has an answer kept for as long as it says",
    file: "src/participant/KeptTimes.ts",
    find: "Math.min(time, now + limits.duration)",
    replace: "time",
    tests: [keep]
  },
  {
    rule: "C14",
    what: "a participant keeps its answers beyond its maxKeepUntil",
    file: "src/participant/KeptTimes.ts",
    find: "keepUntil === undefined || keepUntil <= now + maxKeepUntil",
    replace: "keepUntil !== 0",
    tests: [keep]
  }
]
