/**
 * Gives each message its turn by the limits of its command (`CommandAdmission`). Only what a command does at first is limited: its
 * compensations, and questions about it, never wait.
 */
import { type Clock, Deferred, Effect, FiberHandle } from "effect"
import { ReleasingMap } from "../ports/ReleasingMap.ts"
import type { Envelope } from "../wire/Envelope.ts"
import * as CommandAdmission from "./CommandAdmission.ts"

export interface CommandPlaces {
  /** Handles a message when it is its turn. Gives `letGo` where too many wait already. */
  readonly inTurn: <A, E, R>(
    message: { readonly command: string | undefined; readonly envelope: Pick<Envelope, "op"> },
    handled: Effect.Effect<A, E, R>,
    letGo: A
  ) => Effect.Effect<A, E, R>
}

/** `mayBegin`: as the message was told; undefined: it waits. */
interface Turn {
  readonly told: Deferred.Deferred<boolean>
  mayBegin: boolean | undefined
}

/** Without a limit there is nothing to wait for. */
export const none: CommandPlaces = { inTurn: (_, handled) => handled }

export const make = Effect.fnUntraced(function* (settings: CommandAdmission.Settings, clock: Clock.Clock) {
  const alarm = yield* FiberHandle.makeRuntime<never>()
  const turns = new ReleasingMap<number, Turn>()
  let state = CommandAdmission.begin
  let arrived = 0

  const tell = (id: number, mayBegin: boolean) => {
    const turn = turns.get(id)
    if (turn === undefined) return
    turns.delete(id)
    turn.mayBegin = mayBegin
    Deferred.doneUnsafe(turn.told, Effect.succeed(mayBegin))
  }
  const admit = (): void => {
    const now = clock.currentTimeMillisUnsafe()
    const { admitted, nextAt, state: next } = CommandAdmission.admit(state, settings, now)
    state = next
    for (const { id } of admitted) tell(id, true)
    if (nextAt !== Number.POSITIVE_INFINITY)
      alarm(Effect.andThen(Effect.sleep(Math.max(1, nextAt - now)), Effect.sync(admit)))
  }
  const enter = (command: string) => {
    const one = { id: arrived++, command }
    const turn: Turn = { told: Deferred.makeUnsafe<boolean>(), mayBegin: undefined }
    turns.set(one.id, turn)
    const { letGo, state: next } = CommandAdmission.arrive(state, one, settings)
    state = next
    if (letGo !== undefined) tell(letGo.id, false)
    admit()
    return { id: one.id, turn }
  }
  const leave = (command: string) =>
    Effect.sync(() => {
      state = CommandAdmission.leave(state, command)
      admit()
    })

  return {
    inTurn: ({ command, envelope }, handled, letGo) =>
      command === undefined || envelope.op !== "execute" || !settings.commands.has(command)
        ? handled
        : Effect.uninterruptibleMask((restore) =>
            Effect.suspend(() => {
              const { id, turn } = enter(command)
              const withdrawn = Effect.suspend(() => {
                // It may have got its turn in the same moment.
                if (turn.mayBegin === true) return leave(command)
                if (turns.delete(id)) state = CommandAdmission.withdraw(state, id)
                return Effect.void
              })
              return Effect.flatMap(
                Effect.onInterrupt(restore(Deferred.await(turn.told)), () => withdrawn),
                (mayBegin) => (mayBegin ? Effect.ensuring(restore(handled), leave(command)) : Effect.succeed(letGo))
              )
            })
          )
  } satisfies CommandPlaces as CommandPlaces
})
