export { SimulatedClock } from './simulated-clock.ts'
export {
  createSimulatedCluster,
  type ObservedChange,
  type SimulatedCluster,
  type SimulatedClusterOptions,
} from './simulated-cluster.ts'
export * from './simulated-disk.ts'
export { injectRandomFaults } from './random-faults.ts'
export { LAN_CONDITIONS, type NetworkConditions, SimulatedNetwork } from './simulated-network.ts'
export { SimulatedRandom } from './simulated-random.ts'
export type { ServicesOf, SimulatedPlace } from './simulated-services.ts'
export {
  startTestService,
  type StubMethod,
  type TestableService,
  type TestService,
  type TestServiceOptions,
} from './test-service.ts'
export { simulatedSigner, simulatedVerifier } from './simulated-signature.ts'
