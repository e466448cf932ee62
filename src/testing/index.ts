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
export { simulatedSigner, simulatedVerifier } from './simulated-signature.ts'
