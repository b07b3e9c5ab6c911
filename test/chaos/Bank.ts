/**
 * Two banks and a ledger. A transfer takes money from an account of one, at once, and stages it on an account of the
 * other; the ledger of the transfers themselves takes part as the own service. What they do is decided by the amount:
 * the same transfer has the same troubles in every run.
 */
import { Effect, Schema } from "effect"
import { Participant, Saga, SagaTransaction } from "effect-saga"

export class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { account: Schema.Int }) {}

const commands = {
  Withdraw: {
    payload: { account: Schema.Int, cents: Schema.Int },
    success: Schema.Struct({ id: Schema.String }),
    error: Overdrawn
  },
  PayBack: { payload: { id: Schema.String } },
  Deposit: { payload: { account: Schema.Int, cents: Schema.Int }, success: Schema.Void, effect: "staged" }
} as const

export const North = Participant.make("north", commands)
export const South = Participant.make("south", commands)

/** The failure of a transfer, by its amount. */
export const troubles = (cents: number) => ({
  overdrawn: cents % 17 === 0,
  dies: cents % 19 === 0,
  votesNo: cents % 13 === 0,
  ledgerVotesNo: cents % 23 === 0,
  payBackFailsFirst: cents % 3 === 0
})

const fails = (cents: number): boolean => {
  const { dies, ledgerVotesNo, overdrawn, votesNo } = troubles(cents)
  return overdrawn || dies || votesNo || ledgerVotesNo
}

/** Whether it could go through where nothing is lost for long. */
export const canSucceed = (cents: number): boolean => !fails(cents)

export interface Entry {
  readonly account: number
  readonly cents: number
}

/** The books of one bank. Keys are idempotency keys: an effect that happens twice is seen. */
export class Books {
  readonly withdrawn = new Map<string, Entry>()
  readonly paidBack = new Map<string, number>()
  readonly staged = new Map<string, Array<Entry>>()
  readonly deposited = new Map<string, ReadonlyArray<Entry>>()
  readonly effects = new Map<string, number>()
  private readonly failed = new Set<string>()

  readonly handlers = {
    Withdraw: (entry: Entry) =>
      Effect.gen({ self: this }, function* () {
        const { idempotencyKey: id } = yield* SagaTransaction
        if (troubles(entry.cents).overdrawn) return yield* new Overdrawn({ account: entry.account })
        this.count(id)
        this.withdrawn.set(id, entry)
        return { id }
      }),
    PayBack: ({ id }: { readonly id: string }) =>
      Effect.suspend(() => {
        const { cents } = this.withdrawn.get(id) ?? { cents: 0 }
        if (troubles(cents).payBackFailsFirst && !this.failed.has(id)) {
          this.failed.add(id)
          return Effect.die("not now")
        }
        this.paidBack.set(id, (this.paidBack.get(id) ?? 0) + 1)
        return Effect.void
      }),
    Deposit: (entry: Entry) =>
      Effect.gen({ self: this }, function* () {
        const { idempotencyKey, uuid } = yield* SagaTransaction
        if (troubles(entry.cents).dies) return yield* Effect.die("the deposit dies")
        this.count(idempotencyKey)
        this.staged.set(uuid, [...(this.staged.get(uuid) ?? []), entry])
      })
  }

  readonly hooks = {
    reserve: ({ uuid }: Participant.TransactionPart) =>
      (this.staged.get(uuid) ?? []).some(({ cents }) => troubles(cents).votesNo)
        ? Effect.fail("the account is closed")
        : Effect.void,
    commit: ({ uuid }: Participant.TransactionPart) =>
      Effect.sync(() => {
        const entries = this.staged.get(uuid)
        if (entries !== undefined) this.deposited.set(uuid, entries)
        this.staged.delete(uuid)
      }),
    reject: ({ uuid }: Participant.TransactionPart) => Effect.sync(() => void this.staged.delete(uuid))
  }

  private count(key: string): void {
    this.effects.set(key, (this.effects.get(key) ?? 0) + 1)
  }
}

const ledgerEntries = { success: Schema.Int, compensate: () => Effect.void } as const

export const Transfer = Saga.make("Transfer", {
  context: { from: Schema.Int, to: Schema.Int, cents: Schema.Int }
}).pipe(
  Saga.local("entry", { ...ledgerEntries, execute: ({ cents }) => Effect.succeed(cents) }),
  Saga.remote("withdrawal", {
    execute: { command: North.commands.Withdraw, payload: ({ cents, from }) => ({ account: from, cents }) },
    compensate: { command: North.commands.PayBack, payload: ({ withdrawal }) => withdrawal },
    timeout: "20 seconds"
  }),
  Saga.remote("deposit", {
    execute: { command: South.commands.Deposit, payload: ({ cents, to }) => ({ account: to, cents }) },
    timeout: "20 seconds"
  }),
  Saga.commit
)

/** The ledger: what the own service has been told of each transfer. */
export class Ledger {
  readonly asked = new Set<string>()
  readonly outcome = new Map<string, "commit" | "reject">()
  readonly contradictions: Array<string> = []

  hooks(centsOf: (uuid: string) => number) {
    const told = (outcome: "commit" | "reject") => (part: Participant.TransactionPart) =>
      Effect.sync(() => {
        const before = this.outcome.get(part.uuid)
        if (before !== undefined && before !== outcome) this.contradictions.push(part.uuid)
        this.outcome.set(part.uuid, outcome)
      })
    return {
      reserve: ({ uuid }: Participant.TransactionPart) =>
        Effect.suspend(() => {
          this.asked.add(uuid)
          return troubles(centsOf(uuid)).ledgerVotesNo ? Effect.fail("the ledger is closed") : Effect.void
        }),
      commit: told("commit"),
      reject: told("reject")
    }
  }
}
