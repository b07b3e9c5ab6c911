/**
 * The types of a saga's exchange with the world outside: the requests of its remote steps, and the signals that it waits for.
 * A test reads them, so that the compiler checks the answers and signals in it (`SagaTest.run`). Each step adds an interface by intersection: an
 * interface costs the compiler nothing until somebody looks into it.
 */
import type { IsAny, Saga, Untyped } from "./SagaTypes.ts"

/** The request of a remote step, and the answers to it. */
export interface Exchange<out Payload, out Reply, out Err> {
  readonly "~effect-saga/Exchange": { readonly payload: Payload; readonly reply: Reply; readonly error: Err }
}

/** The remote step `Name` adds its request. */
export interface Asks<in out Name extends string, out Payload, out Reply, out Err> {
  readonly steps: { readonly [K in Name]: Exchange<Payload, Reply, Err> }
}

/** A wait for the signal `Name` adds its payload. */
export interface Hears<in out Name extends string, out Payload> {
  readonly signals: { readonly [K in Name]: Payload }
}

/** The nested saga at the step `Name` adds its requests under the name of that step, and its signals as they are. */
export interface Encloses<in out Name extends string, out Inner> {
  readonly steps: { readonly [K in Name]: Part<Inner, "steps"> }
  readonly signals: Part<Inner, "signals">
}

/** A step that starts another saga adds the requests of that saga under its name. Its signals are not those of this saga. */
export interface Starts<in out Name extends string, out Inner> {
  readonly steps: { readonly [K in Name]: Part<Inner, "steps"> }
}

/** Branches add the requests and signals of all of them, whether one branch runs or all do. */
export interface Among<out Branches> {
  readonly steps: UnionToIntersection<Part<Branches, "steps">>
  readonly signals: UnionToIntersection<Part<Branches, "signals">>
}

/** The error in a reply: that of the command. A service without a contract may say anything. */
export type ErrorReply<A, E> = [A, Untyped] extends [Untyped, A] ? unknown : E

// biome-ignore lint/complexity/noBannedTypes: the one type that an intersection leaves as it is
type Nothing = {}

/** Distributes over a union of branches. Of a saga of any type, anything may be said. */
type Part<Outside, Key extends "steps" | "signals"> =
  IsAny<Outside> extends true ? any : Outside extends { readonly [K in Key]: infer Value } ? Value : Nothing

type UnionToIntersection<U> = (U extends unknown ? (_: U) => void : never) extends (_: infer I) => void ? I : never

/** The requests and the signals of a saga. */
export type OutsideOf<S> = S extends Saga<any, any, any, any, any, any, infer Outside> ? Outside : never

/** The requests of a saga by the names of their steps; those of a nested saga under the name of its step. */
export type Exchanges<S> = Part<OutsideOf<S>, "steps">

/** The payloads of the signals that a saga waits for, by the names of the signals. */
export type Signals<S> = Part<OutsideOf<S>, "signals">
