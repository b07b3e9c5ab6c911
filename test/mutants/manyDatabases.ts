/** Executions over several databases: what a database refuses by itself, and how a bucket moves. */
import type { Mutant } from "./Mutant.ts"

const moving = "test/adapters/sql/moveBuckets.test.ts"
const many = "test/adapters/sql/manyDatabases.test.ts"
const places = "test/adapters/sql/BucketPlaces.test.ts"

export const manyDatabases: ReadonlyArray<Mutant> = [
  {
    rule: "I10",
    what: "a database takes an execution whose key is of another bucket",
    file: "src/adapters/sql/SqlBuckets.ts",
    find: "<> get_byte(uuid_send(new.uuid), 15)",
    replace: "is null",
    tests: [many]
  },
  {
    rule: "I10",
    what: "a database takes writes of a bucket that has left",
    file: "src/adapters/sql/SqlBuckets.ts",
    find: " and b.state = 'here' for key share",
    replace: " for key share",
    tests: [moving]
  },
  {
    rule: "A1",
    what: "a bucket is copied while a write in it has not ended",
    file: "src/adapters/sql/SqlBuckets.ts",
    find: " and b.state = 'here' for key share",
    replace: " and b.state = 'here'",
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
    rule: "F36",
    what: "a list names an execution twice while its bucket moves",
    file: "src/adapters/sql/ShardedRepository.ts",
    find: "page.items.filter(({ uuid }) => shards.has(at, uuid))",
    replace: "page.items",
    tests: [moving]
  }
]
