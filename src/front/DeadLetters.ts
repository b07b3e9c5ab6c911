/** The public part of `DeadLetters`: the port for messages that nobody could read or handle, and its memory layer. */
export { DeadLetter, DeadLetters, DeadLettersError, makeMemory, type Service } from "../ports/DeadLetters.ts"
