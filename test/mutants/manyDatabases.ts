/** Executions over several databases: what a database refuses by itself, and how a bucket moves. */
import type { Mutant } from "./Mutant.ts"

const moving = "test/adapters/sql/moveBuckets.test.ts"
const many = "test/adapters/sql/manyDatabases.test.ts"
const routing = "test/adapters/sql/Shards.test.ts"
const inspected = "test/adapters/sql/shardedInspector.test.ts"
const places = "test/adapters/sql/BucketPlaces.test.ts"

export const manyDatabases: ReadonlyArray<Mutant> = [
  {
    rule: "I10",
    what: "a database takes a key whose bucket it does not serve",
    file: "src/adapters/sql/SqlBuckets.ts",
    find: 'trigger("saga_name", "insert", "saga_bucket_name_check")',
    replace: "",
    tests: [many]
  },
  {
    rule: "I10",
    what: "a database takes writes of a bucket that has left",
    file: "src/adapters/sql/SqlBuckets.ts",
    find: "get_byte(uuid_send(id), 15) and b.state = 'here' for key share",
    replace: "get_byte(uuid_send(id), 15) for key share",
    tests: [many]
  },
  {
    rule: "A1",
    what: "a bucket is copied while a write in it has not ended",
    file: "src/adapters/sql/SqlBuckets.ts",
    find: "get_byte(uuid_send(id), 15) and b.state = 'here' for key share",
    replace: "get_byte(uuid_send(id), 15) and b.state = 'here'",
    tests: [moving]
  },
  {
    rule: "I10",
    what: "a key that was used before the databases were several is free again where its bucket goes",
    file: "src/adapters/sql/BucketCopy.ts",
    find: "case when n.name = 'key ' || n.start_key then ${keyBucket(sql, \"n\")} else",
    replace: "case when false then 0 else",
    tests: [moving]
  },
  {
    rule: "I10",
    what: "a bucket leaves with a key that was taken at the last moment by an execution of another bucket",
    file: "src/adapters/sql/MoveBuckets.ts",
    find: "if (late !== undefined) {",
    replace: "if (late === null) {",
    tests: [moving]
  },
  {
    rule: "I10",
    what: "a bucket leaves for the database that it is in, and never arrives",
    file: "src/adapters/sql/MoveBuckets.ts",
    find: "if ((yield* source.buckets.id) === peer)",
    replace: "if (from === to)",
    tests: [moving]
  },
  {
    rule: "I10",
    what: "a bucket of two databases belongs to the one that was asked last",
    file: "src/adapters/sql/BucketPlaces.ts",
    find: "doubled.has(bucket) ? undefined : ",
    replace: "",
    tests: [places]
  },
  {
    rule: "C7",
    what: "a claim of several databases leaves what the others have no room for",
    file: "src/adapters/sql/ClaimShards.ts",
    find: "left <= 0) break",
    replace: "left <= limit) break",
    tests: [many]
  },
  {
    rule: "C20",
    what: "a process begins steps of a database that has not renewed its lease",
    file: "src/ports/SagaOwnership.ts",
    find: "(isBehind ? this.behind.get(bucketOf(uuid)) : undefined) ?? this.renewed",
    replace: "(isBehind ? undefined : undefined) ?? this.renewed",
    tests: ["test/ports/SagaOwnership.test.ts"]
  },
  {
    rule: "C20",
    what: "a result is stored though its database has not renewed the lease",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "const isOver = membership?.isAlive(now, execution.uuid) === false",
    replace: "const isOver = membership?.isAlive(now) === false",
    tests: ["test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "C20",
    what: "what was stored without a lease is begun unasked once there is one",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "    self.isUnsure = isOver\n",
    replace: "",
    tests: ["test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "C20",
    what: "a claim that renews nothing counts as the renewal of a database that was away",
    file: "src/ports/SagaOwnership.ts",
    find: " && this.behind.size === 0",
    replace: "",
    tests: ["test/ports/SagaOwnership.test.ts"]
  },
  {
    rule: "C20",
    what: "after an outage of one database the first process takes what the others have there",
    file: "src/adapters/sql/ClaimShards.ts",
    find: "now - answeredAt >= lease",
    replace: "now - answeredAt < 0n",
    tests: ["test/adapters/sql/ClaimShards.test.ts"]
  },
  {
    rule: "C20",
    what: "deadlines that have passed while a database was away end its executions at once",
    file: "src/ports/SagaOwnership.ts",
    find: "wasAway || isBack || ",
    replace: "wasAway || ",
    tests: ["test/ports/SagaOwnership.test.ts"]
  },
  {
    rule: "C20",
    what: "a database that was slow for once has no time to renew its lease",
    file: "src/adapters/sql/ClaimShards.ts",
    find: "!isOver || missed",
    replace: "missed",
    tests: ["test/adapters/sql/ClaimShards.test.ts"]
  },
  {
    rule: "C20",
    what: "under a new name a process counts as alive by the lease of the former one",
    file: "src/ports/SagaOwnership.ts",
    find: "        this.renewed = never\n",
    replace: "",
    tests: ["test/ports/SagaOwnership.test.ts"]
  },
  {
    rule: "C20",
    what: "under a new name a process counts as alive in a database that was away shortly before",
    file: "src/ports/SagaOwnership.ts",
    find: "        this.behind = new Map()\n",
    replace: "",
    tests: ["test/ports/SagaOwnership.test.ts"]
  },
  {
    rule: "C20",
    what: "the lease of the former name ends before all has the new one",
    file: "src/adapters/sql/ClaimExecutions.ts",
    find: "end < held.length)",
    replace: "false)",
    tests: ["test/adapters/sql/ClaimExecutions.test.ts"]
  },
  {
    rule: "C20",
    what: "what was stored without a lease is asked about before there is one",
    file: "src/orchestrator/ExecutionLoop.ts",
    find: "if (membership?.isAlive(now, self.execution.uuid) === false) return untilAlive(self, [], now)",
    replace: "",
    tests: ["test/orchestrator/ownership.test.ts"]
  },
  {
    rule: "C20",
    what: "a message is sent again of a database that has not renewed its lease",
    file: "src/orchestrator/Resends.ts",
    find: "isAlive(undefined, uuid)",
    replace: "isAlive()",
    tests: ["test/orchestrator/Resends.test.ts"]
  },
  {
    rule: "C20",
    what: "a lease of a database that does not answer counts as renewed",
    file: "src/adapters/sql/ClaimShards.ts",
    find: "silent.size === 0 ? [] : shards",
    replace: "silent.size >= 0 ? [] : shards",
    tests: ["test/adapters/sql/ClaimShards.test.ts"]
  },
  {
    rule: "C7",
    what: "a database that was away and is slow now stays away",
    file: "src/adapters/sql/ClaimShards.ts",
    find: "missed % claimsUntilLonger === 0",
    replace: "missed < 0",
    tests: ["test/adapters/sql/ClaimShards.test.ts"]
  },
  {
    rule: "F36",
    what: "a list names an execution twice while its bucket moves",
    file: "src/adapters/sql/ShardedPages.ts",
    find: "items: merged.items.filter(isOwn), ",
    replace: "",
    tests: [moving]
  },
  {
    rule: "A1",
    what: "an execution is not there, says a database that had its bucket once",
    file: "src/adapters/sql/Shards.ts",
    find: "if (!hasAnswered) return Effect.fail(away(operation))",
    replace: "if (!hasAnswered) return Effect.fail(error)",
    tests: [routing]
  },
  {
    rule: "I10",
    what: "a start whose key has just moved is refused without a word about who has it",
    file: "src/adapters/sql/Shards.ts",
    find: "error.existing === error.uuid",
    replace: "error.existing === null",
    tests: [routing]
  },
  {
    rule: "F36",
    what: "a page ends before rows that a database has behind those of a bucket that moves",
    file: "src/adapters/sql/ShardedPages.ts",
    find: "[...own, { items: [...foreign] }]",
    replace: "own",
    tests: [routing]
  },
  {
    rule: "F36",
    what: "what a database that is away does not count is taken for gone",
    file: "src/adapters/sql/ShardedInspector.ts",
    find: "answers.length === shards.all.length ?",
    replace: "answers.length > 0 ?",
    tests: [inspected]
  },
  {
    rule: "F36",
    what: "a database that answers again is not missing in the counts that were given without it",
    file: "src/adapters/sql/ShardedInspector.ts",
    find: "shards.hasAnswered(at) && left.length === 0",
    replace: "shards.hasAnswered(at)",
    tests: [inspected]
  },
  {
    rule: "F36",
    what: "counts of several databases that were cut are added up, and pass for all there are",
    file: "src/ports/MergedGroups.ts",
    find: "Math.min(one.count + other.count, Summary.maxCounted)",
    replace: "one.count + other.count",
    tests: ["test/ports/MergedGroups.test.ts"]
  },
  {
    rule: "F36",
    what: "a database that gives the role no rights is said not to answer",
    file: "src/adapters/sql/ShardedInspector.ts",
    find: "return left(refusal)",
    replace: "return left(undefined)",
    tests: [inspected]
  },
  {
    rule: "C6",
    what: "nobody is in doubt, says an inspector that has not asked all databases",
    file: "src/adapters/sql/ShardedInspector.ts",
    find: "if (given.length < answers.length) ",
    replace: "if (given.length > answers.length) ",
    tests: [inspected]
  }
]
