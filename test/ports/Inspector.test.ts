/** The contract of the inspector on the memory layer. */
import { Layer } from "effect"
import { Inspector, ParticipantStore, SagaExecutionRepository } from "effect-saga"
import { InspectorSuite } from "effect-saga/testing/suites"

const kept = SagaExecutionRepository.layerMemoryWith({ keep: 1_000 })

InspectorSuite.suite(
  "memory",
  Layer.provideMerge(
    Inspector.layerMemory({ services: [InspectorSuite.participant] }),
    Layer.merge(kept, ParticipantStore.layerMemory)
  ),
  { excludeTestServices: true }
)
