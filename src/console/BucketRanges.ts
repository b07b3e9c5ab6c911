/** Numbers of buckets as a person writes and reads them: `0-63,70`. */
import { Option } from "effect"
import { bucketCount } from "../ports/Buckets.ts"

/** `numbers`: in their order. */
export const text = (numbers: ReadonlyArray<number>): string => {
  const ranges: Array<{ readonly from: number; to: number }> = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last?.to === number - 1) last.to = number
    else ranges.push({ from: number, to: number })
  }
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(",")
}

/** Each number once, in their order. None: it is no list of buckets. */
export const parse = (text: string): Option.Option<ReadonlyArray<number>> => {
  const numbers = new Set<number>()
  for (const part of text.split(",")) {
    const [, first, last = first] = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(part.trim()) ?? []
    const [from, to] = [Number(first), Number(last)]
    if (!(from <= to && to < bucketCount)) return Option.none()
    for (let number = from; number <= to; number++) numbers.add(number)
  }
  return Option.some([...numbers].sort((one, other) => one - other))
}
