// Tier M (c): effect/workflow on WorkflowEngine.layerMemory. It keeps every execution and activity forever, so
// each measurement is capped (peer.max) and the heap grows with the count.
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { OrderLayer, runOrder } from "./order-workflow.mjs"
export const tier = "M",
  max = 60000
export const open = async ({ scenario }) => {
  const rt = ManagedRuntime.make(OrderLayer.pipe(Layer.provideMerge(WorkflowEngine.layerMemory)))
  await rt.context()
  return { run: (i) => rt.runPromise(runOrder(i, scenario)), close: () => rt.dispose() }
}
