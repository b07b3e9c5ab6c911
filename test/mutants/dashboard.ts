/** The doors of the dashboard. */
import type { Mutant } from "./Mutant.ts"

const api = "test/console/dashboard/api.test.ts"
const attention = "test/console/Attention.test.ts"
const local = "test/console/dashboard/local.test.ts"

export const dashboard: ReadonlyArray<Mutant> = [
  {
    rule: "I21",
    what: "a reader of the dashboard may act",
    file: "src/console/dashboard/Handlers.ts",
    find: 'return may.has("act") ? foreign(request)',
    replace: 'return may.has("read") ? foreign(request)',
    tests: [api]
  },
  {
    rule: "I21",
    what: "a page of another origin may send a write",
    file: "src/console/dashboard/Security.ts",
    find: "if (headers[writeHeader] === undefined)",
    replace: "if (headers.host === undefined)",
    tests: [api]
  },
  {
    rule: "I21",
    what: "whoever may read sees stored values",
    file: "src/console/dashboard/Handlers.ts",
    find: 'if (!may.has("values"))',
    replace: 'if (!may.has("read"))',
    tests: [api]
  },
  {
    rule: "I21",
    what: "the dashboard of one's own machine answers to any name",
    file: "src/console/dashboard/LocalDashboard.ts",
    find: "if (!own.includes(request.headers.host",
    replace: "if (own.length === 0 && !own.includes(request.headers.host",
    tests: [local]
  },
  {
    rule: "I21",
    what: "a printed command has the password of its database",
    file: "src/console/Attention.ts",
    find: "url === undefined || isSecret(url) ? undefined : url",
    replace: "url",
    tests: [attention]
  },
  {
    rule: "OPERATIONS",
    what: "a printed command goes to another database than the one that has printed it",
    file: "src/console/Attention.ts",
    find: "next: next + there,",
    replace: "next,",
    tests: [attention]
  },
  {
    rule: "OPERATIONS",
    what: "whoever waits for a person counts as unanswered",
    file: "src/console/Attention.ts",
    find: "waitsFor !== Summary.timer && !waitsFor.startsWith(Summary.ofSignal)",
    replace: "waitsFor !== Summary.timer",
    tests: [api]
  },
  {
    rule: "OPERATIONS",
    what: "a service that has been asked just now counts as silent",
    file: "src/console/dashboard/Screens.ts",
    find: "isAnswer(waitsFor) && now - oldest >= silence",
    replace: "isAnswer(waitsFor)",
    tests: [api]
  },
  {
    rule: "OPERATIONS",
    what: "a parked group says why its executions roll back, and not why the step is parked",
    file: "src/console/dashboard/Screens.ts",
    find: 'place?.failure ?? place?.reason ?? failure ?? "parked"',
    replace: 'failure ?? place?.reason ?? "parked"',
    tests: [api]
  },
  {
    rule: "F31",
    what: "a page of no execution is taken for one of one",
    file: "src/console/Flags.ts",
    find: "(n) => n >= 1 && n <= most,",
    replace: "(n) => n <= most,",
    tests: ["test/console/commands.test.ts"]
  },
  {
    rule: "F31",
    what: "the dashboard of one's own machine takes any right",
    file: "src/console/dashboard/LocalDashboard.ts",
    find: "if (!areRights(may))",
    replace: "if (may === undefined)",
    tests: ["test/orchestrator/settings.test.ts"]
  }
]
