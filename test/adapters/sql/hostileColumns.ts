/** Hostile values of columns, and what becomes of the execution, or of the input, whose row has one. */
import { hostile } from "../../fixtures/hostile.ts"
import { nested, wide } from "../../fixtures/odd.ts"

/** It is run; it is set apart as unreadable; it waits as its row says. */
export type Becomes = "finished" | "unreadable" | "waits"

export interface Case {
  readonly table: string
  readonly column: string
  readonly name: string
  /** SQL of the new value. */
  readonly value: string
  readonly becomes: Becomes
  /** Of the rows of the execution, those that are changed. */
  readonly where: string
}

/** The statement that changes the row of an execution. */
export const update = (schema: string, { column, table, value, where }: Case, uuid: string): string =>
  `update ${schema}.${table} set "${column}" = ${value} where uuid = '${uuid}' and ${where}`

type Value = readonly [name: string, value: string]

const text = (value: string): string => `'${value.replaceAll("'", "''")}'`

export const texts: ReadonlyArray<Value> = [
  ["empty", text("")],
  ["a word", text("nonsense")],
  ["long", text("x".repeat(2_000))],
  ["of two lines", text("a\nb")],
  ["a key `__proto__`", text("__proto__")],
  ["half of JSON", text("{")]
]
export const times: ReadonlyArray<Value> = [
  ["0", "0"],
  ["-1", "-1"],
  ["the largest", "9223372036854775807"],
  ["the least", "-9223372036854775808"]
]
const counts: ReadonlyArray<Value> = [
  ["0", "0"],
  ["-1", "-1"],
  ["the largest", "2147483647"]
]
export const flags: ReadonlyArray<Value> = [
  ["true", "true"],
  ["false", "false"]
]
export const missing: Value = ["missing", "null"]
export const another: ReadonlyArray<Value> = [["another", "gen_random_uuid()"]]

const of =
  (table: string, where = "true") =>
  (
    column: string,
    values: ReadonlyArray<Value>,
    becomes: Becomes | Readonly<Record<string, Becomes>> = "finished"
  ): ReadonlyArray<Case> =>
    values.map(([name, value]) => ({
      ...{ table, column, name, value, where },
      becomes: typeof becomes === "string" ? becomes : (becomes[name] ?? "finished")
    }))

const head = of("saga_execution")
const heads: ReadonlyArray<Case> = [
  ...head("uuid", another, "unreadable"),
  ...head("start_key", [missing, ...texts]),
  ...head("saga", texts),
  // It waits for a program that has this definition.
  ...head("fingerprint", texts, Object.fromEntries(texts.map(([name]) => [name, "waits"]))),
  ...head("status", texts),
  ...head("direction", texts),
  ...head("decision", [missing, ...texts]),
  ...head("commit_state", texts),
  ...head("user_name", [missing, ...texts]),
  ...head("parked", flags),
  ...head("failure_tag", [missing, ...texts]),
  ...head("failure_path", [missing, ...texts]),
  // The facts of later revisions are not there.
  ...head("revision", counts, { "the largest": "unreadable" }),
  ...head("settled", flags),
  ...head("claimable", flags, { false: "waits" }),
  ...head("owner", [missing, ...texts]),
  ...head("wake_at", [missing, ...times], { missing: "waits", "the largest": "waits" }),
  ...head("created_at", times),
  ...head("updated_at", times),
  // As rows of the inbox leave it that other hands have removed.
  ...head("inbox", [missing, ["0", "0"], ["one that is not there", "1"], ["the largest", "2147483647"]]),
  ...head("step", [missing, ...texts]),
  ...head("step_path", [missing, ...texts]),
  ...head("waits_for", [missing, ...texts]),
  ...head("waiting_since", [missing, ...times]),
  ...head("settled_at", [missing, ...times]),
  ...head("attributes", [
    missing,
    ...["null", "[]", "7", '{"__proto__":{"a":1}}'].map((it): Value => [it, text(it)]),
    ["1,001 keys", text(JSON.stringify(wide(1_001)))],
    ["1,000 levels", text(JSON.stringify(nested(1_000)))]
  ]),
  ...head("trace", [missing, ...texts]),
  ...head("signals", [
    missing,
    ["none", "'{}'"],
    ["of nothing", "array[null]::text[]"],
    ["1,001", "(select array_agg(i::text) from generate_series(1, 1001) i)"]
  ]),
  ...head("watched", [missing, ...flags])
]

/** Values of which there is one in JSON, and that a database takes as JSON. */
const inJson = hostile.filter(([, value]) => {
  const encoded = JSON.stringify(value)
  return encoded !== undefined && encoded !== "null" && !/\\u/.test(encoded)
})

/** Facts in which one place has each of the values, but those that it may have. */
const place = (path: string, ...allowed: ReadonlyArray<string>): ReadonlyArray<Value> =>
  inJson.flatMap(([name, value]) =>
    allowed.includes(name)
      ? []
      : [
          [
            `{${path}} is ${name}`,
            `jsonb_set(facts::jsonb, '{${path}}', ${text(JSON.stringify(value))}::jsonb)::text`
          ] as const
        ]
  )

/** Of one write, whatever its facts are. */
const facts: ReadonlyArray<Value> = [
  ...texts,
  ["null", text("null")],
  ["a number", text("7")],
  ["a list of null", text("[null]")],
  ["a list of lists", text(JSON.stringify(nested(5)))],
  ["100,000 levels", text("[".repeat(100_000) + "]".repeat(100_000))],
  ["truncated", "left(facts, -1)"],
  ["twice", "'[' || trim(facts, '[]') || ',' || trim(facts, '[]') || ']'"],
  ["two texts", "facts || facts"],
  ["of a newer version", `replace(facts, '"_tag":"', '"_tag":"Fore')`],
  ["bytes of gzip", text("\u001f\u008b\u0008")],
  ["of another execution", "regexp_replace(facts, '[0-9a-f]{8}-', 'ffffffff-')"]
]

const first = of("saga_event", "revision = 1")
const second = of("saga_event", "revision = 2")
const events: ReadonlyArray<Case> = [
  ...[first, second].flatMap((event) => [
    ...event("uuid", another, "unreadable"),
    ...event("revision", [...counts, ["a gap", "5"]], "unreadable"),
    ...event("write_id", texts)
  ]),
  ...first("facts", [...facts, ["an empty list", text("[]")]], "unreadable"),
  ...["0,_tag", "0,uuid", "0,saga", "0,fingerprint", "0,context"].flatMap((path) =>
    first("facts", place(path), "unreadable")
  ),
  ...first("facts", [...place("0,context,n", "-1"), ...place("0,at", "-1")], "unreadable"),
  ...second(
    "facts",
    facts.filter(([name]) => name !== "of another execution"),
    "unreadable"
  ),
  ...["0,_tag", "0,service", "1,_tag", "1,path", "1,name"].flatMap((path) =>
    second("facts", place(path), "unreadable")
  ),
  ...["0,autocommit", "0,transactional"].flatMap((path) => second("facts", place(path, "true"), "unreadable")),
  ...["0,at", "1,at"].flatMap((path) => second("facts", place(path, "-1"), "unreadable"))
]

export const ofExecutions: ReadonlyArray<Case> = [...heads, ...events]

const input = of("saga_inbox")
export const ofInputs: ReadonlyArray<Case> = [
  ...input("id", texts),
  ...input("input", [
    ...texts,
    ["null", text("null")],
    ["a list of null", text("[null]")],
    ["100,000 levels", text("[".repeat(100_000) + "]".repeat(100_000))],
    ["truncated", "left(input, -1)"],
    ["of a newer version", `replace(input, '"Signal"', '"Sign"')`],
    ...["_tag", "signal", "content"].flatMap((path) =>
      inJson.map(
        ([name, value]): Value => [
          `{${path}} is ${name}`,
          `jsonb_set(input::jsonb, '{${path}}', ${text(JSON.stringify(value))}::jsonb)::text`
        ]
      )
    )
  ]),
  // The number of inputs that the execution has, where that is wrong.
  ...head("inbox", [missing, ["0", "0"], ["too large", "5"], ["as many as there may be", "1000"]]),
  ...input("actor", [missing, ...texts]),
  ...input("reason", [missing, ...texts]),
  ...input("at", times)
]

const name = of("saga_name")
export const ofNames: ReadonlyArray<Case> = [
  ...name(
    "name",
    texts.map(([what, value]) => [what, `${value} || uuid::text`])
  ),
  ...name("uuid", another),
  ...name("start_key", [missing, ...texts]),
  ...name("saga", texts),
  ...name("context_hash", texts),
  ...name("outcome", [missing, ...texts])
]

const instance = of("saga_instance")
export const ofInstances: ReadonlyArray<Case> = [
  ...instance("id", [["another", "id || '-other'"]]),
  ...instance("epoch", counts),
  ...instance("lease_until", [
    ["for ever", "'infinity'"],
    ["never", "'-infinity'"],
    ["long ago", "'epoch'"],
    ["soon over", "clock_timestamp()"]
  ])
]

const attribute = of("saga_attribute")
export const ofAttributes: ReadonlyArray<Case> = [
  ...attribute("name", texts),
  ...attribute("value", texts),
  ...attribute("created_at", times)
]

const schedule = of("saga_schedule")
export const ofSchedules: ReadonlyArray<Case> = [...schedule("name", texts), ...schedule("tick", times)]

const numbers: ReadonlyArray<Value> = [
  ["0", "0"],
  ["-1", "-1"],
  ["no number", "'NaN'"],
  ["without end", "'Infinity'"],
  ["without begin", "'-Infinity'"]
]
const orMissing = (values: ReadonlyArray<Value>) => [missing, ...values]

const queue = of("saga_queue")
const key = of("saga_queue_key")
const queued = of("saga_queued")
export const ofQueues: ReadonlyArray<Case> = [
  ...queue("name", texts),
  ...["concurrency", "max_queued"].flatMap((column) => queue(column, counts)),
  ...["rate", "key_concurrency", "key_rate"].flatMap((column) => queue(column, orMissing(counts))),
  ...["rate_per", "key_rate_per"].flatMap((column) => queue(column, orMissing(times))),
  ...queue("turn", times),
  ...["declared", "cursor"].flatMap((column) => queue(column, texts)),
  ...["tokens", "tokens_at"].flatMap((column) => queue(column, orMissing(numbers))),
  ...["queue", "key"].flatMap((column) => key(column, texts)),
  ...["tokens", "tokens_at"].flatMap((column) => key(column, numbers)),
  ...["queue", "key", "place", "kind"].flatMap((column) => queued(column, texts)),
  ...queued("priority", counts),
  ...queued("since", times)
]

/** The key of a row of the inbox or of an attribute is that of its execution, which cannot be another: the database refuses it. */
export const keys = [
  { table: "saga_inbox", column: "uuid" },
  { table: "saga_attribute", column: "uuid" },
  { table: "saga_queued", column: "uuid" }
]

export const all: ReadonlyArray<Pick<Case, "table" | "column">> = [
  ...ofExecutions,
  ...ofInputs,
  ...ofNames,
  ...ofInstances,
  ...ofAttributes,
  ...ofSchedules,
  ...ofQueues,
  ...keys
]
