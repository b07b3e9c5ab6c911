/** Limits that all processes of the bank share. What waits for its turn is a row of the database. */
import { SagaQueue } from "effect-saga"

/** Branches take turns: one with a hundred applications on a day does not keep out the others. Who waits for a person has no place. */
export const Applications = SagaQueue.make("applications", { concurrency: 100, perKey: { concurrency: 10 } })

/** One night after the other, also where one takes longer than a day. */
export const Nights = SagaQueue.make("nights", { concurrency: 1 })
