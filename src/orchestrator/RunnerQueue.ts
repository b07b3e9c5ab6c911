/**
 * Runners that wait for a place, in the order of SPEC C13: what people decide and compensations first, then replies, then
 * what is due. New starts come after all of these; they wait in `Admission`.
 */
import type { Inbox } from "./Inbox.ts"
import type { TakenUp } from "./Takeover.ts"

/** How early a runner gets its place. */
export type Urgency = "decision" | "reply" | "due"

const order: ReadonlyArray<Urgency> = ["decision", "reply", "due"]

export class RunnerQueue {
  /** Launches by the uuids of their executions, the oldest first. */
  private readonly waiting: Readonly<Record<Urgency, Map<string, () => void>>> = {
    decision: new Map(),
    reply: new Map(),
    due: new Map()
  }
  /** Runners that wait. */
  size = 0

  has(uuid: string): boolean {
    return this.size > 0 && order.some((urgency) => this.waiting[urgency].has(uuid))
  }

  add(uuid: string, urgency: Urgency, launch: () => void): void {
    this.waiting[urgency].set(uuid, launch)
    this.size++
  }

  /** Takes the runner of an execution out. */
  remove(uuid: string): (() => void) | undefined {
    if (this.size === 0) return undefined
    for (const urgency of order) {
      const launch = this.waiting[urgency].get(uuid)
      if (launch === undefined) continue
      this.waiting[urgency].delete(uuid)
      this.size--
      return launch
    }
    return undefined
  }

  /** Takes the runner out whose turn it is. */
  next(): (() => void) | undefined {
    if (this.size === 0) return undefined
    for (const urgency of order) {
      const [uuid] = this.waiting[urgency].keys()
      if (uuid !== undefined) return this.remove(uuid)
    }
    return undefined
  }

  /** Something more urgent has come for an execution whose runner waits. */
  hurry(uuid: string, urgency: Urgency): void {
    if (this.size === 0) return
    const lower = order.slice(order.indexOf(urgency) + 1)
    if (!lower.some((other) => this.waiting[other].has(uuid))) return
    const launch = this.remove(uuid)
    if (launch !== undefined) this.add(uuid, urgency, launch)
  }
}

/** Inputs of people and compensations come before replies, and replies before what is due (SPEC C13). */
export const urgencyOf = (from: TakenUp | undefined, { inputs }: Inbox): Urgency => {
  if (from?.execution.state.direction === "backward") return "decision"
  const tag = inputs.at(-1)?.input._tag
  if (tag === undefined || tag === "Look") return "due"
  return tag === "Reply" || tag === "Response" ? "reply" : "decision"
}
