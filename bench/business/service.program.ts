/** A service of the business with the library, or by hand. */
import process from "node:process"
import * as ByHand from "./byHand.ts"
import * as Library from "./library.ts"
import { serve } from "./serve.ts"
import type { Start } from "./shop.ts"

const start: Start = JSON.parse(process.argv[2] ?? "")

serve(start, start.by === "hand" ? ByHand : Library)
