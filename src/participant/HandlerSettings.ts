/**
 * Checks the code of an author when its layer is built: the types have checked it, and plain JavaScript may have left a handler out, or
 * have written the name of a hook or of an option otherwise.
 */
import { Effect } from "effect"
import * as Command from "../definition/Command.ts"
import * as TransactionHooks from "../definition/TransactionHooks.ts"
import * as RateSetting from "../ports/RateSetting.ts"
import * as Setting from "../ports/Setting.ts"
import type * as CommandAdmission from "./CommandAdmission.ts"
import { defaultTimeout, type Handler, type HandlerLimits } from "./CommandHandlers.ts"
import type { ParticipantCode } from "./ParticipantHandlers.ts"

const limitNames = { concurrency: true, rate: true, priority: true }

/** The code with its handlers as they are called, and the limits of each command. */
export const read = Effect.fnUntraced(function* (
  { contract, handlers, hooks, ...others }: ParticipantCode,
  maxInFlight: number
): Effect.fn.Return<
  { readonly code: ParticipantCode; readonly commands: ReadonlyMap<string, CommandAdmission.Limits> },
  Setting.InvalidSetting
> {
  const module = `Participant ${contract.name}`
  const read: Record<string, Handler> = {}
  const commands = new Map<string, CommandAdmission.Limits>()
  for (const [name, command] of Object.entries(contract.commands)) {
    const handler: any = handlers[name] // of plain JavaScript
    const setting = `${module}.${name}`
    read[name] = yield* Command.isLater(command) ? readLater(setting, handler) : readHandler(setting, command, handler)
    const hasUnit = handler.transaction !== false
    commands.set(name, { ...(yield* readLimits(setting, handler, maxInFlight)), hasUnit })
  }
  yield* Setting.known(`${module}.hooks`, hooks, TransactionHooks.names)
  for (const [name, hook] of Object.entries(hooks))
    if (hook !== undefined) yield* Setting.aFunction(`${module}.hooks.${name}`, hook)
  return { code: { ...others, contract, hooks, handlers: read }, commands }
})

const readLater = Effect.fnUntraced(function* (setting: string, handler: any) {
  for (const part of ["accept", "cancelled"]) yield* Setting.aFunction(`${setting}.${part}`, handler?.[part])
  return (yield* Setting.known(setting, handler, { accept: true, cancelled: true, ...limitNames })) as Handler
})

const readHandler = Effect.fnUntraced(function* (setting: string, command: Command.Any, handler: any) {
  if (typeof handler !== "object" || handler === null) {
    yield* Setting.aFunction(setting, handler)
    return handler as Handler
  }
  const names = { handle: true, timeout: true, transaction: true, ...limitNames }
  const { handle, timeout, transaction = true } = yield* Setting.known<any>(setting, handler, names)
  yield* Setting.aFunction(`${setting}.handle`, handle)
  yield* Setting.flag(`${setting}.transaction`, transaction)
  const refused = (option: string, issue: string) =>
    new Setting.InvalidSetting({ setting: `${setting}.${option}`, issue })
  if (transaction) {
    if (timeout !== undefined)
      yield* refused("timeout", "it is for a handler without a transaction; the store has a timeout for the others")
    return handle as Handler
  }
  yield* Setting.duration(`${setting}.timeout`, timeout ?? defaultTimeout, { least: "1 milli" })
  if (command.effect === "staged") yield* refused("transaction", "a staged effect needs the transaction")
  return handler as Handler
})

const readLimits = Effect.fnUntraced(function* (setting: string, limits: HandlerLimits, maxInFlight: number) {
  // A function has no limits.
  const { concurrency = maxInFlight, priority = 0, rate }: HandlerLimits = typeof limits === "function" ? {} : limits
  return {
    concurrency: yield* Setting.wholeNumber(`${setting}.concurrency`, concurrency, { least: 1 }),
    priority: yield* Setting.wholeNumber(`${setting}.priority`, priority, { least: -1_000, most: 1_000 }),
    rate: rate === undefined ? undefined : yield* RateSetting.read(`${setting}.rate`, rate)
  }
})
