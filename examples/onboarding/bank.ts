/** The process of the bank: it runs the sagas and answers on HTTP. `node bank.ts`; `places.ts` has its settings. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import "./parent.ts"
import * as Customers from "./customers.ts"
import * as Nightly from "./nightly.ts"
import * as Place from "./places.ts"
import { Applications, Nights } from "./queues.ts"
import { Routes } from "./routes.ts"
import { OpenCustomer } from "./saga.ts"
import { waits } from "./times.ts"

const Sagas = Nightly.layer.pipe(
  Layer.provideMerge(SagaManager.layer([OpenCustomer, Nightly.LookAgain], { queues: [Applications, Nights] })),
  Layer.provide([
    SagaConfig.layer({ service: "bank", ...waits }),
    SqlSagaExecutionRepository.layer(),
    Customers.layer,
    Place.broker("bank"),
    TransactionCommitter.layerNone
  ]),
  Layer.provide(Place.database("bank"))
)

const Bank = Layer.unwrap(
  Effect.gen(function* () {
    const port = yield* Place.port
    return HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" })),
      // Outside of the server: it listens when the sagas are there.
      Layer.provide(Sagas),
      Layer.tap(() => Console.log(`the bank answers on http://127.0.0.1:${port}`))
    )
  })
)

NodeRuntime.runMain(Layer.launch(Layer.provide(Bank, Place.logs("bank"))))
