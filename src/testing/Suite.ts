/**
 * The options that every contract suite takes, and how a suite registers its tests. A suite is tests for any
 * implementation of a port: the same tests run on the memory layer, on a database, on yours. Needs `@effect/vitest`.
 */
import { type Vitest, layer as withLayer } from "@effect/vitest"
import type { Duration, Layer, Scope } from "effect"

/** A group of tests of a suite. Each suite says which tests its groups hold. */
export type Part = "core" | "concurrent" | "recovery"

export interface Options<P extends string = Part> {
  /** The groups to run, for an implementation that does not promise all of the port. Default: all. */
  readonly parts?: ReadonlyArray<P>
  /** How long building the layer may take, for one that starts a server. Default: the test runner's own limit. */
  readonly timeout?: Duration.Input
  /**
   * Tests get the real clock instead of a virtual one. Needed by layers with real input and output: their timeouts would
   * never pass. Default: false.
   */
  readonly excludeTestServices?: boolean
}

/** Defines a test that gets the port as a service. */
export type Test<Port> = Vitest.Test<Port | Scope.Scope>

/** Registers the chosen groups of tests. The layer is built once for all of them. */
export const register = <Port, E, P extends string>(
  title: string,
  layer: Layer.Layer<Port, E>,
  groups: { readonly [part in P]: (test: Test<Port>) => void },
  { parts, ...options }: Options<P>
): void =>
  withLayer(layer, options)(title, (it) => {
    for (const part in groups) if (parts?.includes(part) ?? true) groups[part](it.effect)
  })
