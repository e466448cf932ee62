export type { DiskFacts, HostFacts, InterfaceFact, MemoryFacts } from './host-facts.ts'
export { createLogCollectorService, type LogCollectorNeeds, type LogCollectorOptions } from './log-collector.ts'
export { createLogMemory, type LogFilter, type LogMemory, type LogMemoryOptions, type LogPage } from './log-memory.ts'
export { createSystemService, type SystemServiceNeeds, type SystemServiceOptions } from './system.ts'
