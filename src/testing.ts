/** For tests of your sagas. Needs no test runner: what it gives are effects and values. */
export * as SagaTest from "./testing/SagaTest.ts"
