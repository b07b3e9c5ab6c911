/** A participant is the service at the other end of a remote step: a name and the commands it accepts. */
import * as Command from "./Command.ts"

export interface Participant<out Name extends string, out Commands extends Record<string, Command.Any>> {
  readonly name: Name
  readonly commands: Commands
  /** Whether it answers probes: a service that is not written with this library may not. */
  readonly probe: boolean
}

export type Any = Participant<string, Record<string, Command.Any>>

export const make = <const Name extends string, const Specs extends Record<string, Command.Spec>>(
  name: Name,
  specs: Specs,
  { probe = true }: { readonly probe?: boolean } = {}
): Participant<Name, Command.FromSpecs<Name, Specs>> => ({
  name,
  commands: Command.fromSpecs(name, specs, { probe }),
  probe
})
