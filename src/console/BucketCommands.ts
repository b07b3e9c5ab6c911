/** The commands about several databases: which serves which executions, where they begin, and how they move. */
import { Clock, Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type BucketPlaces, bucketCount, type DatabaseBuckets, type PlacedBucket } from "../ports/Buckets.ts"
import { Access, type Place, type Stays } from "./Access.ts"
import * as Attention from "./Attention.ts"
import * as BucketRanges from "./BucketRanges.ts"
import * as Databases from "./Databases.ts"
import * as Flags from "./Flags.ts"
import { lines } from "./LookCommands.ts"
import {
  CommandFailed,
  CommandMisused,
  coloured,
  confirmed,
  NeedsAttention,
  plain,
  printJson,
  Screen,
  table
} from "./Screen.ts"

const inState = ({ buckets = [] }: DatabaseBuckets, state: PlacedBucket["state"]) =>
  buckets.filter((bucket) => bucket.state === state)

const numbersOf = (buckets: ReadonlyArray<PlacedBucket>) => buckets.map(({ bucket }) => bucket)

/** Buckets that leave a database, by where they go. */
const leaving = (database: DatabaseBuckets): ReadonlyArray<readonly [to: string, ReadonlyArray<number>]> =>
  [...Map.groupBy(inState(database, "leaving"), ({ to = "" }) => to)].map(([to, buckets]) => [to, numbersOf(buckets)])

// ---- buckets ---------------------------------------------------------------------------------------------------

const epochsOf = (database: DatabaseBuckets): string => {
  const epochs = inState(database, "here").map(({ epoch }) => epoch)
  const [least, most] = [Math.min(...epochs), Math.max(...epochs)]
  return epochs.length === 0 ? "" : least === most ? `${least}` : `${least}-${most}`
}

const isBegun = ({ databases }: BucketPlaces): boolean => databases.some(({ buckets = [] }) => buckets.length > 0)

/** Buckets that a person has to take care of, each with the command for it. */
const troubles = (places: BucketPlaces, place: Place): ReadonlyArray<string> => {
  const { databases, doubled, nowhere } = places
  const away = databases.flatMap(({ buckets, database }) => (buckets === undefined ? [database] : []))
  const here = Attention.placeFlags(place)
  const moves = databases.flatMap(({ database, ...rest }) =>
    leaving({ database, ...rest }).map(([to, buckets]) => {
      const numbers = BucketRanges.text(buckets)
      if (!databases.some(({ database }) => database === to))
        return `${numbers} on the way from ${plain(database)} to a database that is not named here, or does not answer`
      const next = Attention.commandOf("buckets", "move", ["--from", database], ["--to", to], numbers)
      return `${numbers} on the way from ${plain(database)} to ${plain(to)}. If nobody moves them now: ${next}${here}`
    })
  )
  return [
    ...(away.length > 0
      ? [
          `the ${away.length === 1 ? "database" : "databases"} ${Databases.listed(away)} cannot be reached (effect-saga doctor says why)`
        ]
      : []),
    ...moves,
    ...(doubled.length > 0
      ? [
          `${BucketRanges.text(doubled)} served by two databases: no process touches these executions. One of the two has to give them up`
        ]
      : []),
    ...(!isBegun(places) && away.length === 0
      ? [`no database has buckets yet: ${Attention.commandOf("buckets", "begin", databases[0]?.database ?? "")}${here}`]
      : nowhere.length > 0
        ? [`${BucketRanges.text(nowhere)} served by none of the databases that answer`]
        : [])
  ]
}

const list = Effect.fnUntraced(function* (place: Place, json: boolean) {
  const places = yield* (yield* Access).buckets(place)
  const found = troubles(places, place)
  const screen = yield* Screen
  if (json) yield* printJson(places)
  else
    yield* lines([
      ...table(
        places.databases,
        [
          { title: "DATABASE", of: ({ database }) => database, least: 8 },
          {
            title: "SERVES",
            of: (it) => (it.buckets === undefined ? "?" : String(inState(it, "here").length)),
            isRight: true
          },
          { title: "BUCKETS", of: (it) => BucketRanges.text(numbersOf(inState(it, "here"))), least: 20 },
          { title: "MOVES", of: epochsOf, isOptional: true },
          {
            title: "LEAVING",
            of: (it) =>
              leaving(it)
                .map(([to, buckets]) => `${BucketRanges.text(buckets)} to ${to}`)
                .join("; "),
            isOptional: true
          }
        ],
        screen
      ),
      ...found.map((trouble) => `${coloured("!", "red", screen.hasColours)} ${trouble}`)
    ])
  if (found.length > 0) return yield* new NeedsAttention()
})

// ---- begin, move -----------------------------------------------------------------------------------------------

const yes = Flags.who.yes.pipe(Flag.withDescription("Do not ask"))

const begin = Command.make(
  "begin",
  {
    name: Argument.String("name").pipe(Argument.withDescription("The name of the one that gets all buckets")),
    yes,
    ...Flags.place,
    json: Flags.json
  },
  Effect.fn(function* (flags) {
    const { json, name } = flags
    const place = Flags.placeOf(flags)
    const access = yield* Access
    yield* databaseOf(yield* access.buckets(place), name)
    const isWanted = yield* confirmed(flags, `give all ${bucketCount} buckets to ${plain(name)}`)
    if (!isWanted) return
    yield* access.beginBuckets(place, name)
    yield* json
      ? printJson({ database: name, buckets: bucketCount })
      : Console.log(`${plain(name)} serves all ${bucketCount} buckets`)
  })
).pipe(
  Command.withDescription(
    "Give all buckets to one of the databases, which may have executions: once, before the first process that has several. Needs the right to make tables"
  ),
  Command.withShortDescription("Give all buckets to one of the databases, once")
)

/** One that is named, and that answers. */
const databaseOf = Effect.fnUntraced(function* ({ databases }: BucketPlaces, name: string) {
  const found = databases.find(({ database }) => database === name)
  if (found === undefined)
    return yield* new CommandMisused({
      message: `There is no database ${plain(name)}: there are ${Databases.listed(databases.map(({ database }) => database))}`
    })
  if (found.buckets === undefined) return yield* new CommandFailed({ message: Databases.awaySentence([name]) })
  return found
})

interface MoveFlags {
  readonly from: string
  readonly to: string
  readonly buckets: Option.Option<ReadonlyArray<number>>
  readonly count: Option.Option<number>
}

/** The buckets that are meant: those named, or as many as asked, first those that are on the way already. */
const chosen = Effect.fnUntraced(function* (places: BucketPlaces, { buckets, count, from, to }: MoveFlags) {
  if (from === to) return yield* new CommandMisused({ message: "--from and --to name the same database" })
  const source = yield* databaseOf(places, from)
  yield* databaseOf(places, to)
  if (Option.isSome(buckets) === Option.isSome(count))
    return yield* new CommandMisused({ message: "Name the buckets, as 0-63,70, or say --count" })
  if (Option.isSome(buckets)) return buckets.value
  const onTheWay = inState(source, "leaving").filter((bucket) => bucket.to === to)
  const there = [...onTheWay, ...inState(source, "here")]
  const wanted = Option.getOrElse(count, () => 0)
  if (wanted > there.length)
    return yield* new CommandFailed({ message: `${plain(from)} has ${there.length} buckets, and no ${wanted}` })
  return numbersOf(there.slice(0, wanted)).sort((one, other) => one - other)
})

const why: { readonly [why in Stays["why"]]: string } = {
  elsewhere: "the database does not have it, or it is on its way to another one",
  mixed:
    "executions in it have a startKey of another bucket, from before there were several databases. It can leave when they have ended and retention has removed them",
  queued: "some of its executions are in a queue"
}

const move = Command.make(
  "move",
  {
    buckets: Argument.String("buckets").pipe(
      Argument.withDescription("Their numbers, as 0-63,70"),
      Argument.filterMap(BucketRanges.parse, () => `must be numbers from 0 to ${bucketCount - 1}, as 0-63,70`),
      Argument.optional
    ),
    from: Flag.String("from").pipe(Flag.withMetavar("NAME"), Flag.withDescription("The database that has them")),
    to: Flag.String("to").pipe(Flag.withMetavar("NAME"), Flag.withDescription("The database that gets them")),
    count: Flags.number("count", "That many, in place of their numbers", bucketCount).pipe(Flag.optional),
    yes,
    ...Flags.place,
    json: Flags.json
  },
  Effect.fn(function* (flags) {
    const { from, json, to } = flags
    const place = Flags.placeOf(flags)
    const access = yield* Access
    const buckets = yield* chosen(yield* access.buckets(place), flags)
    const what = `${buckets.length} ${buckets.length === 1 ? "bucket" : "buckets"} from ${plain(from)} to ${plain(to)}: ${BucketRanges.text(buckets)}`
    if (!(yield* confirmed(flags, `move ${what}`))) return
    const moved: Array<number> = []
    let toldAt = yield* Clock.currentTimeMillis
    const stays = yield* access
      .moveBuckets(place, {
        ...{ buckets, from, to },
        moved: Effect.fnUntraced(function* (bucket) {
          moved.push(bucket)
          const now = yield* Clock.currentTimeMillis
          if (now - toldAt < 2_000) return
          toldAt = now
          yield* Console.error(`${moved.length} of ${buckets.length}`)
        })
      })
      .pipe(
        Effect.mapError(
          ({ message }) =>
            new CommandFailed({
              message: `${message} (${moved.length} of ${buckets.length} have moved: call it again, and it goes on)`
            })
        )
      )
    yield* json
      ? printJson({ from, to, moved, ...(stays !== undefined && { stays }) })
      : Console.log(`${moved.length} of ${buckets.length} moved`)
    if (stays !== undefined)
      return yield* new CommandFailed({ message: `bucket ${stays.bucket} stays in ${plain(from)}: ${why[stays.why]}` })
  })
).pipe(
  Command.withDescription(
    "Move buckets from one database to another while processes run, one after the other. The executions of a bucket stand still while it is copied. A move that was cut off goes on with the same command"
  ),
  Command.withShortDescription("Move executions to another database"),
  Command.withExamples([
    { command: "effect-saga buckets move --from north --to south --count 128", description: "Half of all" },
    { command: "effect-saga buckets move --from south --to north 0-15,200", description: "These ones" }
  ])
)

export const buckets = Command.make("buckets", { ...Flags.place, json: Flags.json }, (flags) =>
  list(Flags.placeOf(flags), flags.json)
).pipe(
  Command.withDescription(
    "Which of several databases serves which executions. Exit code 3 where some are on their way, served by none or by two, or a database does not answer"
  ),
  Command.withShortDescription("Which of several databases serves what"),
  Command.withSubcommands([begin, move])
)
