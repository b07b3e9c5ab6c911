/**
 * Attributes that follow the context: a function behind a step. It is no step itself, so it has no path, and it may come and go while
 * executions are alive.
 *
 * Casts: as in `SagaValue`, the values have the types that the signature promises.
 */
import type { Attributes } from "./Attributes.ts"
import type * as Step from "./SagaStep.ts"
import type { Saga, Visible } from "./SagaTypes.ts"
import { type Any, fromSteps } from "./SagaValue.ts"

/**
 * Changes the attributes of an execution when the step in front of it has succeeded: those that the function gives are added to those
 * that there are, and replace the ones of their name. They are stored with the result of the step, in the same write, and stay when
 * the step is undone. It has to be pure. An execution has at most 8 attributes in all, as `attributes` of `Saga.make` describes them.
 *
 * Values that are none, or a function that throws, change nothing: the execution goes on, and its story and the log say why. It may
 * stand behind any step of the saga and of its branches; not in the steps of `Saga.forEach` (`InvalidOption`). In a nested saga it is
 * not asked. It may be added, changed and taken away while executions are alive.
 *
 * @example
 * ```ts
 * Saga.make("OpenAccount", { context: { name: Schema.String }, attributes: ({ name }) => ({ name }) }).pipe(
 *   Saga.remote("account", { execute: { command: Accounts.commands.Open, payload } }),
 *   Saga.attributes(({ account }) => ({ account: account.iban })),
 *   Saga.commit
 * )
 * ```
 */
export const attributes = <I, Own>(
  make: (context: NoInfer<Visible<I & Own>>) => Attributes
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, "open", O0>
) => Saga<SagaName, I, Own, E0, R0, "open", O0>) => behindLast(make)

/** In plain JavaScript there may be no step: then they are those of the start. */
const behindLast =
  (make: (context: any) => unknown) =>
  (self: Any): any => {
    const last = self.steps.at(-1)
    if (last === undefined) return fromSteps({ ...self, attributes: make }, self.state, self.steps)
    const step: Step.SagaStep = Object.freeze({ ...last, attributes: both(last.attributes, make) })
    return fromSteps(self, self.state, [...self.steps.slice(0, -1), step])
  }

/** Of two behind one step the second one has the last word. */
const both = (
  first: ((context: any) => unknown) | undefined,
  second: (context: any) => unknown
): ((context: any) => unknown) =>
  first === undefined ? second : (context) => ({ ...Object(first(context)), ...Object(second(context)) })
