/**
 * The step that runs its steps for each item of a list: its options with their types, and their one form as data. Mistakes of
 * plain JavaScript are kept: validation reports them.
 *
 * Casts: options are erased as in `Saga`, so that missing ones become data.
 */

import type { Codec } from "./Command.ts"
import { type Mistaken, mistakesIn, type Names } from "./OptionNames.ts"
import type * as Out from "./OutsideTypes.ts"
import type * as Step from "./SagaStep.ts"
import type * as Types from "./SagaTypes.ts"
import { append, grow } from "./SagaValue.ts"

/** The options of `Saga.forEach`. `concurrency` may be left out. */
export interface ForEachOptions<Ctx, Name extends string, Item, As extends string, Own, E, R, O = any> {
  /**
   * Makes the list. Pure and synchronous; if it throws, the step fails. The list is stored before anything runs, and is not made
   * again. At most 1,000 items, and 10,000 in one execution: else the step fails with `SagaTooManyItems`.
   */
  readonly items: (context: NoInfer<Ctx>) => ReadonlyArray<NoInfer<Item>>
  /** The schema of an item, with which it is stored and read back. */
  readonly item: Codec<Item>
  /** The name of the item in the context of its steps. */
  readonly as: As & Types.Unused<As, Types.Add<Ctx, Name, Types.Reserved>>
  /**
   * How many items are under way at the same time, 1 to 100; as many are compensated at the same time. Default 1: one after the
   * other. An execution keeps the number that it has begun its items with.
   */
  readonly concurrency?: number
  /** The steps of an item. Their names are those of the item: other steps of the saga do not see their results. */
  readonly steps: (
    each: Types.Branch<Types.Add<Types.Add<Ctx, Name, Types.Reserved>, As, Item>>
  ) => Types.Saga<any, any, Own, E, R, "open", O>
}

/**
 * Adds a step that runs its steps once for each item of a list. Each item has a context of its own: the context so far, the item
 * under the name `as`, and the results of its steps. The result is the array of the items' results, in the order of the items.
 *
 * The first failure stops the items that have not begun; those under way come to an end, and then all are compensated, from the
 * last to the first. A list may be empty, and has at most 1,000 items. SPEC C17.
 *
 * @example
 * ```ts
 * Saga.forEach("reservations", {
 *   items: ({ lines }) => lines,
 *   item: Line,
 *   as: "line",
 *   concurrency: 4,
 *   steps: (each) =>
 *     each.pipe(Saga.local("reservation", { success: Schema.String, execute: ({ line }) => reserve(line), compensate: release }))
 * })
 * ```
 */
export const forEach = <I, Own, const Name extends string, Item, const As extends string, Own2, E, R, O2>(
  name: Name & Types.Unused<Name, I & Own>,
  options: ForEachOptions<I & Own, Name, Item, As, Own2, E, R, O2>
): (<SagaName extends string, E0, R0, O0>(
  self: Types.Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Types.Saga<
  SagaName,
  I,
  Types.Add<Own, Name, ReadonlyArray<Types.Visible<Own2>>>,
  E0 | E,
  R0 | R,
  "open",
  O0 & Out.Encloses<Name, O2>
>) => append(toForEach(name, (options ?? {}) as any))

const forEachNames: Names<ForEachOptions<any, string, any, string, any, any, any>> = {
  items: true,
  item: true,
  as: true,
  concurrency: true,
  steps: true
}

const toForEach = (
  name: string,
  options: ForEachOptions<any, string, any, string, any, any, any>
): Step.ForEach & Mistaken => ({
  ...mistakesIn(options, forEachNames),
  _tag: "ForEach",
  name,
  as: options.as,
  item: options.item,
  items: options.items,
  concurrency: options.concurrency ?? 1,
  steps: grow(options.steps).steps
})
