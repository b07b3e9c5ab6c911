export { layer, type Mode, SagaTracing, type Tracing } from "../ports/Tracing.ts"
