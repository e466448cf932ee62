export {
  type ControlAction,
  createDeployAgent,
  type DeployAgent,
  type DeployAgentNeeds,
  type DeployAgentOptions,
  type RejectedPlans,
} from './agent/deploy-agent.ts'
export {
  type ArtifactExchange,
  type ArtifactExchangeNeeds,
  createArtifactExchange,
} from './agent/artifact-exchange.ts'
export type { AgentArtifacts, UnpackedArtifact } from './agent/agent-artifacts.ts'
export type { Assignment, AssignmentReport, NodePlan, NodeReport } from './model.ts'
export { contextOfNode } from './node-call.ts'
export type { NodeSigner, NodeVerifier } from './node-signature.ts'
export { type ControlRequest, createNodeControl, type NodeControl } from './node-control.ts'
export type { SignedPlan } from './signed-plan.ts'
export {
  type ArtifactRepository,
  type ArtifactRepositoryNeeds,
  createArtifactRepository,
} from './artifacts/artifact-repository.ts'
export type { FetchProgress } from './artifacts/artifact-download.ts'
export type { ArtifactFacts } from './artifacts/artifact-facts.ts'
export {
  type ArtifactFetcher,
  type ArtifactFetcherNeeds,
  type ArtifactFetcherOptions,
  createArtifactFetcher,
} from './artifacts/artifact-fetcher.ts'
export {
  type ArtifactInstaller,
  type ArtifactInstallerNeeds,
  createArtifactInstaller,
  type InstalledArtifact,
} from './artifacts/artifact-installer.ts'
export { type ArtifactSource } from './artifacts/artifact-source.ts'
export { type ArtifactStore, type ArtifactStoreOptions, createArtifactStore } from './artifacts/artifact-store.ts'
export { type BundleFolders, createBundleFolders, type UnpackedBundle } from './bundle/bundle-folders.ts'
export { createProgramAgent, type ProgramAgent, type ProgramAgentNeeds } from './program/program-agent.ts'
export type { ProgramControl } from './program/program-control.ts'
export {
  parsePointer,
  type ProgramPointer,
  programToStart,
  type ProgramVersion,
  type StartDecision,
} from './program/program-pointer.ts'
export { packProgram } from './program/pack-program.ts'
export type { BundleFile, BundleManifest, BundleMethod } from './bundle/bundle-manifest.ts'
export { type PackedBundle, packBundle, type PackOptions } from './bundle/pack-bundle.ts'
export { readBundleManifest } from './bundle/read-bundle.ts'
export type { BundleStatement, SignedBundle } from './bundle/signed-bundle.ts'
