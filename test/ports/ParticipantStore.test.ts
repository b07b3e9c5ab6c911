import { ParticipantStore } from "effect-saga"
import { ParticipantStoreSuite } from "effect-saga/testing/suites"

ParticipantStoreSuite.suite("memory", ParticipantStore.layerMemory)
