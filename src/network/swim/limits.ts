/** Bounds on everything received; a length in a message is a claim until it is checked against these. */
export const LIMITS = {
  /** One frame, before and after decompression. */
  frameBytesMax: 64 * 1024,
  /** Decompressed to compressed. */
  compressionRatioMax: 100,
  /** Members known, dead and left ones included; those not heard for longest make room. */
  membersMax: 4_096,
  messagesPerFrameMax: 4_096,
  /** Entries of one digest message: 512 of the longest fill 44 KiB. */
  digestEntriesMax: 512,
  /** Entries that one side of a state exchange sends of its own accord: some 50 kB. A reply holds whatever the other lacks. */
  exchangeEntriesMax: 2_048,
  pullNodesMax: 256,
  /** Canonical JSON of a record. */
  recordBytesMax: 32 * 1024,
  /** An RSA-8192 signature; ours are far shorter. */
  signatureBytesMax: 1_024,
  certificateChainBytesMax: 16 * 1024,
  /** Rumours that ride on one probe or gossip frame. */
  piggybackBytesMax: 4 * 1024,
  rumoursMax: 4_096,
  /** Pings under way for others. */
  relaysMax: 256,
  /** Second looks under way at once: when our own network fails, all channels close together. */
  hintsMax: 16,
  clusterLabelBytesMax: 63,
} as const
