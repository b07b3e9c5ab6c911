/** `Participant` alone, for programs that share a contract and no more: esbuild takes all of a module of "effect-saga". */
export * from "./participant/Participant.ts"
