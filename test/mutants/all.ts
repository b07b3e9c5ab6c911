/** Every rule that `npm run mutants` takes out. */
import type { Mutant } from "./Mutant.ts"
import { writing } from "./writing.ts"

export const mutants: ReadonlyArray<Mutant> = writing
