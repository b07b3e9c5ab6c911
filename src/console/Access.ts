/**
 * How the commands reach what is stored. The room knows no database: the entry point brings the layers, and tests bring those in
 * memory.
 */
import { Context, type Effect, type Layer } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import type { BucketPlaces } from "../ports/Buckets.ts"
import type { AskedServices, Check } from "../ports/Check.ts"
import type { Inspector } from "../ports/Inspector.ts"
import type { CommandFailed, CommandMisused } from "./Screen.ts"

/** One of several databases. */
export interface NamedDatabase {
  readonly name: string
  readonly url: string
}

/** Where the executions are, as the flags say. */
export interface Place {
  readonly url: string | undefined
  /** Several databases among which executions are spread, in place of `url`. */
  readonly databases: ReadonlyArray<NamedDatabase>
  readonly schema: string | undefined
  readonly prefix: string | undefined
  /** The file `effect-saga.config.ts`. */
  readonly config: string | undefined
  /** For the API of a dashboard: headers that let the command in, as `name: value`. */
  readonly headers: ReadonlyArray<string>
  /** The command needs stored values: over the API of a dashboard they are asked for, and that is logged there. Default: no. */
  readonly values?: boolean
}

/** The default export of `effect-saga.config.ts`. */
export interface ConsoleConfig {
  /** The sagas of the program that is deployed: for `drift`, `diagram`, `replay` and `doctor`. */
  readonly sagas: ReadonlyArray<AnyCommitted>
  /** The name of the own service, as in `SagaConfig`: executions of another one are drifted. */
  readonly service?: string
  /** An inspector of another storage than Postgres, or with a client of your own. Used where no `--url` is given. */
  readonly layer?: Layer.Layer<Inspector, unknown>
  /**
   * The checks of the broker in `doctor`: `MqttBroker.checks(options)`, or a function of your own. `targets`: the services that the
   * sagas ask. Default: `doctor` looks at no broker.
   */
  readonly broker?: (asked: AskedServices) => Effect.Effect<ReadonlyArray<Check>>
}

export interface MigrateRequest {
  /** The parts whose tables are made. */
  readonly parts: ReadonlyArray<"executions" | "participants" | "dead-letters">
  /** Gives the statements, and runs none. */
  readonly printsSql: boolean
  /** A role that gets the rights that a running process needs. */
  readonly appRole: string | undefined
}

export interface Migrated {
  /** Its name, where there are several. */
  readonly database?: string
  readonly part: string
  /** The migrations that were run now; with `printsSql` all of them. */
  readonly migrations: ReadonlyArray<string>
  readonly statements: ReadonlyArray<string>
  /** The tables are of a newer release: they have so many migrations that this one does not know. Absent: none. */
  readonly newer?: number
  /** Why this part, and what comes after it in the same database, is not done. Other databases are migrated all the same. */
  readonly failed?: string
}

export interface MoveRequest {
  readonly from: string
  readonly to: string
  readonly buckets: ReadonlyArray<number>
  /** Told each one that has moved. */
  readonly moved: (bucket: number) => Effect.Effect<void>
}

/** The first bucket that could not move. */
export interface Stays {
  readonly bucket: number
  readonly why: "elsewhere" | "mixed" | "queued"
}

type Failure = CommandFailed | CommandMisused

export class Access extends Context.Service<
  Access,
  {
    readonly version: string
    readonly inspector: (place: Place) => Layer.Layer<Inspector, Failure>
    /** Undefined: there is no such file, and none was named. */
    readonly config: (place: Place) => Effect.Effect<ConsoleConfig | undefined, Failure>
    readonly migrate: (place: Place, request: MigrateRequest) => Effect.Effect<ReadonlyArray<Migrated>, Failure>
    /** Of several databases. */
    readonly buckets: (place: Place) => Effect.Effect<BucketPlaces, Failure>
    readonly beginBuckets: (place: Place, database: string) => Effect.Effect<void, Failure>
    /** Undefined: all have moved. */
    readonly moveBuckets: (place: Place, request: MoveRequest) => Effect.Effect<Stays | undefined, Failure>
    /** What only the database says: it is reached, its version, rights, migrations, clock. */
    readonly checks: (place: Place) => Effect.Effect<ReadonlyArray<Check>>
    readonly readFile: (path: string) => Effect.Effect<string, Failure>
    readonly writeFile: (path: string, content: string) => Effect.Effect<void, Failure>
  }
>()("effect-saga/console/Access") {}
