/**
 * A change of the code that takes one rule of the specification out of it. Some test has to fail for it: a rule that no
 * test misses is a rule that the next change may lose.
 */
export interface Mutant {
  /** As the specification of the protocol names it: `W1`, `C6`. */
  readonly rule: string
  /** The fault of the mutant, as a sentence. */
  readonly what: string
  readonly file: string
  /** Occurs once in the file. */
  readonly find: string
  readonly replace: string
  /** Its tests need the Postgres that `SAGA_TEST_PG_URL` names. */
  readonly needsServer?: boolean
  /** The test files of which one must fail, the likely one first. */
  readonly tests: ReadonlyArray<string>
}

/** The text of its file without the rule; undefined where the code that it changes is not there any more, or not once. */
export const applied = ({ find, replace }: Mutant, text: string): string | undefined => {
  const [before, after, ...others] = text.split(find)
  return before === undefined || after === undefined || others.length > 0 || find === replace
    ? undefined
    : before + replace + after
}
