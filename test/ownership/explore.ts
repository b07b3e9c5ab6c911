/** Explores a model to its end: every state that can be reached, the nearest first. */
import { Effect } from "effect"

/** How a state was reached. */
interface Way {
  readonly name: string
  readonly before: Way | undefined
}

const told = (violation: string, way: Way | undefined): string => {
  const names: Array<string> = []
  for (let at = way; at !== undefined; at = at.before) names.unshift(at.name)
  return [violation, ...names].join("\n  ")
}

export interface Model<World> {
  readonly copy: (world: World) => World
  /** Two worlds of the same text go on in the same way. */
  readonly textOf: (world: World) => string
  readonly actions: (world: World) => ReadonlyArray<{ readonly name: string; readonly run: (world: World) => void }>
  /** What is wrong in a state. */
  readonly check: (world: World) => string | undefined
  /** What is wrong with how it ends from a state, when nothing more goes wrong. */
  readonly settles: (world: World) => string | undefined
}

interface Explored {
  readonly states: number
  readonly violation: string | undefined
}

/** Ends at the first violation, and tells how it came to it. */
export const explore = <World>(model: Model<World>, begun: World): Explored => {
  const exploring = stateByState(model, begun)
  let at = exploring.next()
  while (at.done !== true) at = exploring.next()
  return at.value
}

/** The same for a model whose actions run fibers: what these leave behind is let go at each turn of the event loop. */
export const exploreInTurns = Effect.fnUntraced(function* <World>(model: Model<World>, begun: World) {
  const exploring = stateByState(model, begun)
  let at = exploring.next()
  for (let n = 1; at.done !== true; n++) {
    if (n % 10 === 0) yield* turn
    at = exploring.next()
  }
  return at.value
})

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

function* stateByState<World>(model: Model<World>, begun: World): Generator<void, Explored> {
  const queue: Array<{ readonly world: World; readonly way: Way | undefined } | undefined> = []
  const seen = new Set<string>()
  const reach = (world: World, way: Way | undefined): void => {
    const text = model.textOf(world)
    if (seen.has(text)) return
    seen.add(text)
    queue.push({ world, way })
  }
  reach(begun, undefined)
  for (let i = 0; i < queue.length; i++) {
    const { way, world } = queue[i]!
    queue[i] = undefined
    yield
    const stuck = model.settles(world)
    if (stuck !== undefined) return { states: seen.size, violation: told(stuck, way) }
    for (const { name, run } of model.actions(world)) {
      const next = model.copy(world)
      run(next)
      const violation = model.check(next)
      if (violation !== undefined) return { states: seen.size, violation: told(violation, { name, before: way }) }
      reach(next, { name, before: way })
    }
  }
  return { states: seen.size, violation: undefined }
}
