/**
 * A signal is something that an execution is told from outside: an approval, a payment, a change of mind. It is a name with a
 * schema, so the saga that waits for it and the program that sends it share one value.
 */
import type { Codec } from "./Command.ts"

/** A signal with the type of its payload. Made by `Signal.make`. */
export interface Signal<out Name extends string, in out Payload> {
  readonly name: Name
  readonly payload: Codec<Payload>
}

/** A signal of any type. */
export type Any = Signal<string, any>

/**
 * A signal. The name begins with a letter; up to 63 letters, digits and `_.-` follow. `payload` is the schema of what it says,
 * with which it is stored; a signal that says nothing but its name has `Schema.Void`.
 *
 * @example
 * ```ts
 * const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean, by: Schema.String }) })
 * ```
 */
export const make = <const Name extends string, Payload>(
  name: Name,
  options: { readonly payload: Codec<Payload> }
): Signal<Name, Payload> => Object.freeze({ name, payload: options?.payload })

/**
 * What the head of an execution says while it waits for the signal, for lists of those: `find({ waitsFor: Signal.waitsFor(Approval) })`.
 */
export const waitsFor = ({ name }: Pick<Any, "name">): string => `signal ${name}`
