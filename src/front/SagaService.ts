/** The public part of the consumer of replies, for a program that takes replies by itself. */
export { toResponse } from "../orchestrator/ReplyConsumer.ts"
