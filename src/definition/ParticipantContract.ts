/**
 * The contract of a participant, the service at the other end of a remote step: its name and its commands. It has no
 * behaviour and needs no module of Node, so a browser may share it.
 */
import * as Command from "./Command.ts"

/** A contract. The saga makes requests from it, and the service implements it with `Participant.layer`. */
export interface Participant<out Name extends string, out Commands extends Record<string, Command.Any>> {
  readonly name: Name
  readonly commands: Commands
  /** Whether it answers probes. */
  readonly probe: boolean
}

/** A contract of any service. */
export type Any = Participant<string, Record<string, Command.Any>>

/**
 * Makes a contract. The names of the service and of its commands become levels of a topic: a letter, then up to 63 letters,
 * digits and `_.-` (validation reports others).
 *
 * `probe` says whether the service answers the question what became of a command whose reply was never seen (SPEC C3).
 * Default: true. Set it to false for a service that is not written with this library and does not know probes; then
 * `compensate.unknown` is sent in such a case, or the step is parked.
 *
 * @example
 * ```ts
 * const Payments = Participant.make("payments", {
 *   Charge: {
 *     payload: { order: Schema.String, amount: Schema.Int },
 *     success: Schema.Struct({ paymentId: Schema.String }),
 *     error: CardDeclined
 *   },
 *   Refund: { payload: { paymentId: Schema.String }, compensable: false }
 * })
 * ```
 */
export const make = <const Name extends string, const Specs extends Record<string, Command.Spec>>(
  name: Name,
  specs: Specs,
  { probe = true }: { readonly probe?: boolean } = {}
): Participant<Name, Command.FromSpecs<Name, Specs>> => ({
  name,
  commands: Command.fromSpecs(name, specs, { probe }),
  probe
})
