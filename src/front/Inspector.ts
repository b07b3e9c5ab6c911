/** The public part of `Inspector`: the port, what it shows, and its layer on a repository in memory. */
export { Census, Filter, Page, PageRequest } from "../ports/ExecutionSummary.ts"
export {
  Action,
  type ActOptions,
  Count,
  Doubt,
  executionOf,
  InDoubt,
  Inspected,
  Inspector,
  InspectorError,
  maxCounted,
  Outcome,
  OverdueGroup,
  ofState,
  ParkedGroup,
  ParkedPlace,
  Process,
  State,
  stateOf,
  WaitingGroup,
  Who
} from "../ports/Inspector.ts"
export { layer as layerMemory, type MemoryOptions } from "../ports/InspectorMemory.ts"
