/** The public part of `TransactionCommitter`: the port, and its two layers. */
export {
  layerNone,
  layerTwoPhase,
  type Question,
  SagaFailedCommitCallback,
  type Transaction,
  TransactionCommitter
} from "../ports/TransactionCommitter.ts"
