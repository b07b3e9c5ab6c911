/** Every rule that `npm run mutants` takes out. */
import { absence } from "./absence.ts"
import { attributes } from "./attributes.ts"
import { begun } from "./begun.ts"
import { bounds } from "./bounds.ts"
import { buckets } from "./buckets.ts"
import { connecting } from "./connections.ts"
import { dashboard } from "./dashboard.ts"
import { execution } from "./execution.ts"
import { forItems } from "./items.ts"
import { lateWrites } from "./lateWrites.ts"
import { lostRecords } from "./lostRecords.ts"
import type { Mutant } from "./Mutant.ts"
import { manyDatabases } from "./manyDatabases.ts"
import { nats } from "./nats.ts"
import { ownership } from "./ownership.ts"
import { owning } from "./owning.ts"
import { participants } from "./participant.ts"
import { pivots } from "./pivots.ts"
import { queues } from "./queues.ts"
import { reading } from "./reading.ts"
import { recovery } from "./recovery.ts"
import { replyAddresses } from "./replyAddresses.ts"
import { responses } from "./responses.ts"
import { rows } from "./rows.ts"
import { sagaTests } from "./sagaTest.ts"
import { schedules } from "./schedules.ts"
import { starts } from "./starts.ts"
import { values } from "./values.ts"
import { waits } from "./waits.ts"
import { watching } from "./watching.ts"
import { words } from "./words.ts"
import { writing } from "./writing.ts"

export const mutants: ReadonlyArray<Mutant> = [
  ...writing,
  ...watching,
  ...values,
  ...responses,
  ...execution,
  ...participants,
  ...begun,
  ...lostRecords,
  ...recovery,
  ...lateWrites,
  ...ownership,
  ...owning,
  ...buckets,
  ...manyDatabases,
  ...connecting,
  ...absence,
  ...forItems,
  ...waits,
  ...bounds,
  ...pivots,
  ...reading,
  ...rows,
  ...schedules,
  ...queues,
  ...sagaTests,
  ...starts,
  ...attributes,
  ...dashboard,
  ...nats,
  ...replyAddresses,
  ...words
]
