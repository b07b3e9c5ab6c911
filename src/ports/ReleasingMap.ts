/**
 * A map for values that come and go all the time: those of executions, messages and callers under way. It holds each value in a
 * box, and empties the box when the value is removed. After as many removals as it has entries it becomes a new `Map`.
 *
 * A `Map` of V8 makes a new table now and then, and the former table refers to the new one and to all that it held. Once a former
 * table is old, it keeps what all later tables held until the whole heap is collected: each removed value is copied twice,
 * and moved among the old objects (decision 0069).
 */
export class ReleasingMap<K, V> {
  private boxes = new Map<K, Box<V>>()
  /** Since this map was made. */
  private removed = 0

  get size(): number {
    return this.boxes.size
  }

  has(key: K): boolean {
    return this.boxes.has(key)
  }

  get(key: K): V | undefined {
    return this.boxes.get(key)?.value
  }

  /** A key that is there keeps its place in the order. */
  set(key: K, value: V): void {
    const box = this.boxes.get(key)
    if (box === undefined) this.boxes.set(key, { value })
    else box.value = value
  }

  /** False: the key was not there. */
  delete(key: K): boolean {
    const box = this.boxes.get(key)
    if (box === undefined) return false
    box.value = undefined
    // The last removal would make a smaller table anyway.
    if (this.boxes.size === 1) this.boxes = new Map()
    else this.remove(key)
    return true
  }

  clear(): void {
    for (const box of this.boxes.values()) box.value = undefined
    this.boxes.clear()
  }

  private remove(key: K): void {
    this.boxes.delete(key)
    if (++this.removed <= Math.max(least, this.boxes.size)) return
    // A map of its own: no former table refers to it.
    this.boxes = new Map(this.boxes)
    this.removed = 0
  }

  /** In the order in which the keys were added. */
  keys(): IterableIterator<K> {
    return this.boxes.keys()
  }

  /** The values as they are now, in the order of their keys. */
  get values(): ReadonlyArray<V> {
    return Array.from(this.boxes.values(), valueIn)
  }

  /** The keys and values as they are now, in the order of the keys. */
  get entries(): ReadonlyArray<readonly [K, V]> {
    return Array.from(this.boxes, ([key, box]) => [key, valueIn(box)])
  }
}

/** Removals before the map is made anew, at least. */
const least = 64

/** Empty only once it is out of the map. */
interface Box<V> {
  value: V | undefined
}

/** A box in the map holds what was set, which may be undefined itself. */
const valueIn = <V>(box: Box<V>): V => box.value as V
