/**
 * A command is the typed contract of one request that a saga sends to another service: its payload, its success reply
 * and its declared errors. Commands carry no behaviour, so both sides of the wire share the same value.
 *
 * Casts: `Object.fromEntries` forgets which key has which command.
 */
import type { Struct } from "effect"
import { Schema } from "effect"
import type { Codec } from "../wire/JsonCodec.ts"

export type { Codec } from "../wire/JsonCodec.ts"

/** Named schemas: the entries of a payload, or of the initial context of a saga. */
export type Fields = { readonly [name: string]: Codec<any> }

/** Whether other readers of the participant see the effect at once, or only when the transaction is committed. */
export type EffectMode = "immediate" | "staged"

export interface Command<out Participant extends string, out Tag extends string, out Payload, out Success, out Error> {
  readonly participant: Participant
  readonly tag: Tag
  readonly payload: Codec<Payload>
  readonly success: Codec<Success>
  readonly error: Codec<Error>
  readonly effect: EffectMode
  /** Whether the participant can say later what became of this command. */
  readonly probe: boolean
  /** Absent: a compensation may come. */
  readonly compensable?: false
}

export type Any = Command<string, string, any, any, any>

/** What a participant says about one of its commands. */
export interface Spec {
  readonly payload: Fields
  readonly success?: Codec<any>
  readonly error?: Codec<any>
  readonly effect?: EffectMode
  /** `false`: nothing undoes it, so the participant need not remember it for a compensation to come. */
  readonly compensable?: false
}

type TypeOf<S> = [S] extends [Schema.Codec<infer A, any, any, any>] ? A : never
type SuccessOf<S> = TypeOf<S extends { readonly success: infer A } ? A : Schema.Void>
type ErrorOf<S> = TypeOf<S extends { readonly error: infer E } ? E : Schema.Never>

/** The commands that the specs of a participant describe. */
export type FromSpecs<Participant extends string, Specs extends Record<string, Spec>> = {
  readonly [K in keyof Specs & string]: Command<
    Participant,
    K,
    Struct.Simplify<Schema.Struct.Type<Specs[K]["payload"]>>,
    SuccessOf<Specs[K]>,
    ErrorOf<Specs[K]>
  >
}

export const fromSpecs = <const Participant extends string, const Specs extends Record<string, Spec>>(
  participant: Participant,
  specs: Specs,
  options: { readonly probe: boolean }
): FromSpecs<Participant, Specs> =>
  Object.fromEntries(
    Object.entries(specs).map(([tag, spec]): [string, Any] => [
      tag,
      {
        participant,
        tag,
        payload: Schema.Struct(spec.payload),
        success: spec.success ?? Schema.Void,
        error: spec.error ?? Schema.Never,
        effect: spec.effect ?? "immediate",
        probe: options.probe,
        ...(spec.compensable === false && { compensable: false })
      }
    ])
  ) as any
