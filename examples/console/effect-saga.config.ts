/** Tells `npx effect-saga` the sagas of the program: of the order business here. */
import { config } from "effect-saga/cli"
import { PlaceOrder } from "../order/saga.ts"

export default config({ sagas: [PlaceOrder], service: "orders" })
