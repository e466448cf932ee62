/*
 * The package's main entry: run a node inside another program. Writing services is `p2p-core/service`, simulating clusters
 * `p2p-core/testing`.
 */
export { VERSION } from './base/version.ts'
export { type NodeConfig, loadConfig } from './config/index.ts'
export { type NodeEvent, type NodeOptions, type RunningNode, startNode, type Unlock } from './context/index.ts'
export { createLogger } from './platform/index.ts'
