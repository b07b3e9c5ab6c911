/**
 * The types of what a saga has to do with the world outside: the requests of its remote steps, and the signals that it waits for.
 * Tests read them, to check what they say in the name of others (`SagaTest.run`). Each step adds an interface by intersection: an
 * interface costs the compiler nothing until somebody looks into it.
 */
import type { IsAny, Saga, Untyped } from "./SagaTypes.ts"

/** The request of a remote step, and the answers to it. */
export interface Exchange<out Payload, out Reply, out Err> {
  readonly "~effect-saga/Exchange": { readonly payload: Payload; readonly reply: Reply; readonly error: Err }
}

/** What the remote step `Name` adds. */
export interface Asks<in out Name extends string, out Payload, out Reply, out Err> {
  readonly steps: { readonly [K in Name]: Exchange<Payload, Reply, Err> }
}

/** What a wait for the signal `Name` adds. */
export interface Hears<in out Name extends string, out Payload> {
  readonly signals: { readonly [K in Name]: Payload }
}

/** What the nested saga at the step `Name` adds: its steps stand under the name of that step, its signals do not. */
export interface Encloses<in out Name extends string, out Inner> {
  readonly steps: { readonly [K in Name]: Part<Inner, "steps"> }
  readonly signals: Part<Inner, "signals">
}

/** What steps add of which one branch runs, or all at the same time: whatever may be said is allowed. */
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

/** What a saga asks for and hears. */
export type OutsideOf<S> = S extends Saga<any, any, any, any, any, any, infer Outside> ? Outside : never

/** The requests of a saga by the names of their steps; those of a nested saga under the name of its step. */
export type Exchanges<S> = Part<OutsideOf<S>, "steps">

/** The payloads of the signals that a saga waits for, by the names of the signals. */
export type Signals<S> = Part<OutsideOf<S>, "signals">
