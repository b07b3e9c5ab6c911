/** Executions fall into buckets, for an ownership that shares buckets out among the instances. */

/** How many buckets there are. It is the same in every process of a service, for ever. */
export const bucketCount = 256

/** The bucket of an execution: the last byte of its uuid, which is random in the uuids that are made for new executions. */
export const bucketOf = (uuid: string): number => Number.parseInt(uuid.slice(-2), 16)
