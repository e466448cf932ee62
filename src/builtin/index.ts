export type { DiskFacts, HostFacts, InterfaceFact, MemoryFacts } from './host-facts.ts'
export { createSystemService, type SystemServiceNeeds, type SystemServiceOptions } from './system.ts'
