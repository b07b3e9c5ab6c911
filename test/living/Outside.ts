/** Steps that have their effect outside of every database: it stands in the journal of the process. */
import { Effect } from "effect"
import { SagaTransaction } from "effect-saga"
import * as Journal from "./Journal.ts"

type Work = Pick<Journal.Effect, "step" | "op">

/** Opens the journal of this process. A step takes at most `pace` milliseconds; a stall counts from half of the `lease`. */
export const open = ({ folder, lease, pace }: Record<"lease" | "pace", number> & { readonly folder: string }) => {
  const note = Journal.open(folder)
  Journal.watch(lease / 2, (from, at) => note({ _tag: "stood", from, at }))
  const pause = Effect.suspend(() => Effect.sleep((Math.random() * pace) / 2))
  const outside = ({ op, step }: Work) =>
    Effect.gen(function* () {
      const { epoch, idempotencyKey: key, uuid } = yield* SagaTransaction
      const say = (_tag: "began" | "did" | "ended") =>
        Effect.sync(() => note({ _tag, uuid, step, op, key, epoch, at: Journal.now() }))
      yield* say("began")
      yield* pause
      yield* say("did")
      yield* pause
      yield* say("ended")
    })
  return { note, outside }
}
