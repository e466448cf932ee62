const MIB = 1_024 * 1_024

/** What a bundle may be, packed and unpacked. Packing keeps to the same limits, so that whatever was packed can be unpacked. */
export const BUNDLE_LIMITS = {
  /** Of the compressed bytes. */
  bundleBytesMax: 256 * MIB,
  /** Of the manifest's JSON: held in memory. */
  manifestBytesMax: 2 * MIB,
  fileCountMax: 8_192,
  fileBytesMax: 256 * MIB,
  /** Of all files together, unpacked. */
  totalBytesMax: 512 * MIB,
  /** Of a path in UTF-8: what a ustar header holds, which also fits every file system below a folder of usual depth. */
  pathBytesMax: 255,
  /** Names in a path. */
  depthMax: 16,
  /** Bytes of files for a byte of the bundle. Sources reach 10, text full of repetition 50; deflate's limit is 1,032. */
  ratioMax: 200,
  /** Bytes of files that the ratio is not asked of. */
  ratioFreeBytes: MIB,
} as const
