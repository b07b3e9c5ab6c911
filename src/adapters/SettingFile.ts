/** A file that a setting names: certificates and keys stand in files, which are mounted beside the program. */
import { readFileSync } from "node:fs"
import { Effect } from "effect"
import { InvalidSetting } from "../ports/Setting.ts"

/** The text of the file; undefined: none is named. */
export const read = (setting: string, file: string | undefined): Effect.Effect<string | undefined, InvalidSetting> =>
  file === undefined
    ? Effect.undefined
    : Effect.try({
        try: () => readFileSync(file, "utf8"),
        catch: () => new InvalidSetting({ setting, issue: "the file cannot be read" })
      })
