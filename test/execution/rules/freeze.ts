/** States that nobody can change: a rule that writes into its argument throws. */

/** Freezes a value and all that it holds. The view that a context remembers (`cache`) is decoded later, and stays free. */
export const deepFreeze = <A>(value: A): A => {
  if (typeof value !== "object" || value === null || !Object.isExtensible(value)) return value
  const isContext = "cache" in value
  if (isContext) Object.preventExtensions(value)
  else Object.freeze(value)
  for (const [key, held] of Object.entries(value)) {
    if (isContext && key !== "cache") Object.defineProperty(value, key, { writable: false })
    if (!isContext || key !== "cache") deepFreeze(held)
  }
  return value
}
