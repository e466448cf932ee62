export {
  betterAddresses,
  interfaceKind,
  type LocalAddressOptions,
  localAddresses,
  orderForPeer,
} from './addresses.ts'
export {
  type Acquaintable,
  createGossip,
  type Gossip,
  type GossipNeeds,
  type GossipOptions,
  type GossipStats,
  type RecordPatch,
} from './gossip.ts'
export { createMemberRevocations, type MemberRevocations } from './member-revocations.ts'
export { createPathKeeper, type PathKeeperNeeds } from './path-keeper.ts'
export {
  createRecordSigner,
  createRecordVerifier,
  type RecordSigner,
  type RecordVerifier,
  type RecordVerifierNeeds,
  type RememberingVerifier,
} from './record-signature.ts'
export type { SignedRecord } from './swim/message.ts'
export type { Acquaintance } from './swim/swim.ts'
export { type ChannelRenewalNeeds, renewUntrustedChannels } from './channel-renewal.ts'
