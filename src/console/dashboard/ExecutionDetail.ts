/** One execution as the page shows it: without its values. Pure. */

import { jsonSchema } from "../../definition/JsonSchema.ts"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import { collect, isWaiting, started } from "../../execution/rules/StepTree.ts"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import type { Inspected } from "../../ports/Inspector.ts"
import { placesOf } from "../../ports/InspectorGroups.ts"
import type { InboxRow } from "../../ports/SagaInbox.ts"
import { traceIdOf } from "../../ports/Tracing.ts"
import * as SagaStory from "../../tooling/SagaStory.ts"
import * as Diagram from "./Diagram.ts"
import type { Action, Detail, Parked, Wait } from "./Forms.ts"
import { rowOf } from "./Rows.ts"
import { lanesOf, tagOf } from "./Timeline.ts"

/** `definition`: its saga, where this process has it in the form of the execution. */
export const of = (
  { inbox, owner, summary }: Inspected,
  execution: SagaExecution,
  definition: Definition | undefined,
  now: number
): Detail => {
  const { state } = execution
  const diagram = Diagram.ofExecution(state, definition)
  const nameOf = namesOf(execution.events)
  return {
    now,
    row: rowOf(summary),
    revision: state.revision,
    fingerprint: state.creation.fingerprint,
    known: definition !== undefined,
    direction: state.direction,
    decision: state.decision,
    commitState: state.commitState,
    passed: state.passed,
    ...(state.deadline !== undefined && { deadline: state.deadline }),
    ...(owner !== undefined && { owner }),
    ...(state.failure !== undefined && {
      cause: { tag: tagOf(state.failure), ...("path" in state.failure && { step: nameOf(state.failure.path) }) }
    }),
    ...traceIn(state.start?.trace),
    diagram,
    lanes: lanesOf(execution.events, Diagram.fatesOf(state)),
    story: SagaStory.lines(execution),
    messages: messagesOf(execution.events, nameOf),
    parked: parkedOf(execution),
    waits: waitsOf(execution, definition),
    asked: inbox.map(askedOf),
    actions: actionsOf(execution),
    ...(definition !== undefined && { plan: Diagram.planOf(diagram) })
  }
}

const traceIn = (context: string | undefined): Pick<Detail, "trace"> => {
  const trace = traceIdOf(context)
  return trace === undefined ? {} : { trace }
}

/** What is left to show of an execution that only a newer release can read. */
export const unreadable = ({ inbox, summary }: Inspected, now: number): Detail => ({
  now,
  row: rowOf(summary),
  revision: summary.revision,
  fingerprint: summary.fingerprint,
  ...traceIn(summary.trace),
  known: false,
  direction: summary.direction,
  decision: summary.decision,
  commitState: summary.commitState,
  passed: false,
  diagram: [],
  lanes: [],
  story: [{ at: summary.updatedAt, text: "A newer release has written it: this one cannot read its facts" }],
  messages: [],
  parked: [],
  waits: [],
  asked: inbox.map(askedOf),
  actions: []
})

const namesOf = (events: ReadonlyArray<SagaEvent>) => {
  const names = new Map<string, string>()
  for (const event of events) if ("name" in event && event.name !== undefined) names.set(event.path, event.name)
  return (path: string): string => names.get(path) ?? path
}

const messagesOf = (events: ReadonlyArray<SagaEvent>, nameOf: (path: string) => string): Detail["messages"] =>
  events.flatMap((event): Detail["messages"] => {
    const { at } = event
    switch (event._tag) {
      case "RequestSent":
      case "ProbeSent":
      case "CompensationSent": {
        const { command, message, path } = event
        const what = `${message.service}${command === undefined ? "" : `/${command}`}${event._tag === "ProbeSent" ? " (what became of it?)" : ""}`
        return [{ at, path, step: nameOf(path), way: "out", what, id: message.id }]
      }
      case "ReplyReceived":
      case "ProbeAnswered":
        return [{ at, path: event.path, step: nameOf(event.path), way: "in", what: "answer", status: event.status }]
      case "RequestAccepted":
        return [{ at, path: event.path, step: nameOf(event.path), way: "in", what: "accepted, the answer comes later" }]
      case "SignalReceived":
        return [
          {
            at,
            way: "in",
            what: `signal ${event.signal}${event.actor === undefined ? "" : ` from ${event.actor}`}`,
            id: event.id
          }
        ]
      case "VoteReceived":
        return [{ at, way: "in", what: `${event.service} is in favour` }]
      case "DecisionAcknowledged":
        return [{ at, way: "in", what: `${event.service} knows the decision` }]
      default:
        return []
    }
  })

const parkedOf = (execution: SagaExecution): ReadonlyArray<Parked> =>
  placesOf(execution).map(({ failure, kind, place, reason, service, step }) => {
    const fact = execution.events.findLast(
      (event) =>
        (event._tag === "StepParked" && event.path === place) ||
        (event._tag === "ServiceStalled" && event.service === service)
    )
    const why = [failure, reason].filter((one) => one !== undefined).join(": ")
    return {
      path: place,
      step: step ?? service ?? "the execution",
      kind: kind === "step" ? (execution.state.direction === "forward" ? "step" : "compensation") : kind,
      ...(why !== "" && { reason: why }),
      ...(fact !== undefined && { since: fact.at })
    }
  })

const waitsOf = (execution: SagaExecution, definition: Definition | undefined): ReadonlyArray<Wait> => {
  if (execution.state.direction === "backward") return []
  const keys = new Map(
    execution.events.flatMap((event) => (event._tag === "WaitStarted" ? [[event.path, event.key] as const] : []))
  )
  return collect<Wait>(execution.state.root, started, (found, step) => {
    const { deadline, name, path, signal, startedAt } = step
    if (signal === undefined || !isWaiting(step)) return
    const payload = definition && SagaPath.signals(definition).get(signal)?.payload
    const key = keys.get(path)
    found.push({
      path,
      step: name,
      signal,
      ...(key !== undefined && { key }),
      since: startedAt,
      ...(deadline !== undefined && { deadline }),
      ...(payload !== undefined && { form: jsonSchema(payload) })
    })
  })
}

const askedOf = ({ actor, at, id, input, reason }: InboxRow): Detail["asked"][number] => ({
  id,
  what: typeof input === "object" && input !== null && "_tag" in input ? String(input._tag) : "An input",
  ...(actor !== undefined && { actor }),
  ...(reason !== undefined && { reason }),
  at
})

/** What makes sense now. The rules decide when it is done. */
const actionsOf = ({ parked, state }: SagaExecution): ReadonlyArray<Action> => {
  const { autocommit, commitState, decision, direction, passed, status } = state
  const isUndecided = decision === null && direction === "forward" && !passed
  const isHeld = status === "finished" && commitState === "none" && !autocommit && decision === null
  return [
    ...(isHeld ? (["commit", "reject"] as const) : isUndecided ? (["cancel"] as const) : []),
    ...(parked.length > 0 ? (["retry", "resolve"] as const) : []),
    ...(status === "paused" && direction === "forward" ? (["signal"] as const) : [])
  ]
}
