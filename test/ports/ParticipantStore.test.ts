import { ParticipantStore } from "effect-saga"
import { ParticipantStoreSuite } from "effect-saga/testing"

ParticipantStoreSuite.suite("memory", ParticipantStore.layerMemory)
