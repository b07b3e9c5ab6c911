/** For the platform that runs a program: routes of health, and the metrics of all that is stored. */
export * as SagaMetrics from "./console/Collector.ts"
export * as SagaHealth from "./console/Health.ts"
