/**
 * A command is the typed contract of one request to another service: its payload, its success reply and its declared
 * errors. A command has no behaviour, so the saga and the participant share the same value.
 *
 * Casts: `Object.fromEntries` forgets which key has which command.
 */
import type { Struct } from "effect"
import { Predicate, Schema } from "effect"
import type { Codec } from "../wire/JsonCodec.ts"

export type { Codec } from "../wire/JsonCodec.ts"

/** Named schemas: the entries of a payload, or of the initial context of a saga. */
export type Fields = { readonly [name: string]: Codec<any> }

/**
 * When an effect counts. `"immediate"`: at once; a rollback compensates it. `"staged"`: when the transaction is committed;
 * until then no other reader of the participant sees it, and a reject drops it.
 */
export type EffectMode = "immediate" | "staged"

/** One command of a participant. Made by `Participant.make`. */
export interface Command<out Participant extends string, out Tag extends string, out Payload, out Success, out Error> {
  /** The name of the service that answers it. */
  readonly participant: Participant
  /** The name of the command within the service. */
  readonly tag: Tag
  readonly payload: Codec<Payload>
  readonly success: Codec<Success>
  readonly error: Codec<Error>
  readonly effect: EffectMode
  /** Whether the participant answers a probe about it (see `Participant.make`). */
  readonly probe: boolean
  /** Absent: a compensation may follow. */
  readonly compensable?: false
}

/**
 * A command whose answer comes later (SPEC C19): its handler begins the work, and `Participant.answer` gives the answer, an hour or a
 * month after that.
 */
export interface LaterCommand<
  out Participant extends string,
  out Tag extends string,
  out Payload,
  out Success,
  out Error
> extends Command<Participant, Tag, Payload, Success, Error> {
  readonly answer: "later"
}

/** A command of any type. */
export type Any = Command<string, string, any, any, any>

/** A command of any type whose answer comes later. */
export type AnyLater = LaterCommand<string, string, any, any, any>

/** Whether the answer to a command comes later. */
export const isLater = (command: Any): command is AnyLater =>
  Predicate.hasProperty(command, "answer") && command.answer === "later"

/** The description of one command, from which `Participant.make` makes it. Only `payload` is needed. */
export interface Spec {
  /** The fields of the payload. */
  readonly payload: Fields
  /** The schema of the reply. Default: `Schema.Void`. */
  readonly success?: Codec<any>
  /** The schema of the errors with which the handler may refuse. Default: `Schema.Never`. */
  readonly error?: Codec<any>
  /** When its effect counts. Default: `"immediate"`. */
  readonly effect?: EffectMode
  /**
   * `false`: nothing compensates the command, so the participant may forget it earlier. Default: a compensation may
   * follow. Set it on queries and on compensations.
   */
  readonly compensable?: false
  /**
   * `"later"`: the handler only begins the work, and the answer is given by `Participant.answer`, from any process of the service, at
   * any time. For work that takes minutes or days: nothing is held meanwhile, no connection and no transaction. A step with such a
   * command needs a `timeout`, or its saga a `deadline`; and a `compensate`, by which the service hears that nobody waits any more. A
   * compensation cannot answer later. Default: the handler answers.
   */
  readonly answer?: "later"
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
  > &
    (Specs[K] extends { readonly answer: "later" } ? { readonly answer: "later" } : unknown)
}

/** The commands of a participant by their names. */
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
        ...(spec.compensable === false && { compensable: false }),
        ...(spec.answer !== undefined && { answer: spec.answer })
      }
    ])
  ) as any
