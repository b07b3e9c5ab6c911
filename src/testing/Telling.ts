/** What a test tells an execution, and when. */
import type { Duration } from "effect"
import type { Signal } from "../definition/Signal.ts"
import type * as SagaManager from "../orchestrator/SagaManager.ts"

/** A signal, and when it comes. Made by `SagaTest.signal`. */
export interface Telling<out Name extends string> {
  readonly signal: { readonly name: Name; readonly payload: Signal<Name, any>["payload"] }
  readonly after: Duration.Input
  readonly said: SagaManager.Said<any>
}

/**
 * A signal that comes a time after the start; a number is milliseconds, and the default is at once. What is due at the same moment
 * comes before it, such as the end of a wait.
 *
 * @example
 * ```ts
 * signals: [SagaTest.signal(Approval, { after: "1 day", payload: { approved: true, by: "Ann" } })]
 * ```
 */
export const signal = <Name extends string, Payload>(
  signal: Signal<Name, Payload>,
  { after = 0, ...said }: SagaManager.Said<NoInfer<Payload>> & { readonly after?: Duration.Input }
): Telling<Name> => ({ signal, after, said })
