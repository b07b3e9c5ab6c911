/** The process of the services: it answers the commands of the bank. `node services.ts`; `places.ts` has its settings. */
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { SqlParticipantStore } from "effect-saga/sql"
import "./parent.ts"
import * as Accounts from "./accounts.ts"
import * as Archive from "./archive.ts"
import * as Cards from "./cards.ts"
import * as Mail from "./mail.ts"
import * as Place from "./places.ts"
import * as Screening from "./screening.ts"

const tables = Effect.all([Accounts.tables, Archive.tables, Cards.tables, Mail.tables, Screening.tables])

const Services = Layer.mergeAll(Accounts.layer, Archive.layer, Cards.layer, Mail.layer, Screening.layer).pipe(
  Layer.provide([SqlParticipantStore.layer(), Place.broker("services")]),
  Layer.provide(Layer.effectDiscard(tables)),
  Layer.provide(Place.database("services")),
  Layer.tap(() => Console.log("the services are there"))
)

NodeRuntime.runMain(Layer.launch(Layer.provide(Services, Place.logs("services"))))
