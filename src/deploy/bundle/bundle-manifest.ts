import { valid } from 'semver'
import { z } from 'zod'
import { utf8 } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import { type JsonSchema, type Manifest, parseManifest, SERVICE_KINDS, type ServiceKind } from '../../service/index.ts'
import { bundleError } from './bundle-error.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'
import { checkNames } from './entry-name.ts'

/** Name of a bundle's first entry, and of the same file in the unpacked folder. */
export const BUNDLE_MANIFEST_NAME = 'p2p-bundle.json'

/** Of the format described in docs/protocol/bundle.md. */
export const BUNDLE_FORMAT = 1

export interface BundleFile {
  /** From the service's folder, parted by "/". */
  path: string
  sizeBytes: number
  /** SHA-256, lower-case hex. */
  sha256: string
  isExecutable: boolean
}

/** One method of the service, as far as whoever packed the bundle knew it. */
export interface BundleMethod {
  name: string
  isPublic: boolean
  params?: JsonSchema
  result?: JsonSchema
}

/** `program`: the nodes' own program, which `p2p upgrade` packs; the others are services. */
export type BundleKind = ServiceKind | 'program'

/** What a bundle says of itself, in its first entry. */
export interface BundleManifest {
  format: typeof BUNDLE_FORMAT
  /** Name of the service: that of its manifest, else of the folder. */
  service: string
  /** Semantic version (semver.org): that of its manifest, else of its package. */
  version: string
  kind: BundleKind
  /** The service's own manifest, checked, with name, version and kind filled in: permissions, secrets and services it asks for. Of a program only name and version. */
  manifest: Manifest
  /** Undefined: only the running service knows them. */
  methods?: readonly BundleMethod[]
  /** In ascending order of their paths' code units, which is the order of the entries. */
  files: readonly BundleFile[]
}

const FILE = z.strictObject({
  path: z.string(),
  sizeBytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  isExecutable: z.boolean(),
})

const SCHEMA = z.record(z.string(), z.json())

const MANIFEST = z.strictObject({
  format: z.literal(BUNDLE_FORMAT),
  service: z.string(),
  version: z.string().max(64),
  kind: z.enum([...SERVICE_KINDS, 'program']),
  manifest: z.record(z.string(), z.unknown()),
  methods: z
    .array(
      z.strictObject({ name: z.string(), isPublic: z.boolean(), params: SCHEMA.optional(), result: SCHEMA.optional() }),
    )
    .max(128)
    .optional(),
  files: z.array(FILE),
})

/** The bytes of the first entry. Equal manifests give equal bytes. */
export function encodeBundleManifest(manifest: BundleManifest): Uint8Array {
  return utf8(JSON.stringify(manifest))
}

/**
 * Reads the first entry, and checks all that can be known before a file is unpacked: names, counts, sizes.
 * @throws {DeployError} P2P_BUNDLE_INVALID, P2P_BUNDLE_TOO_LARGE, P2P_BUNDLE_ENTRY_FORBIDDEN
 */
export function decodeBundleManifest(bytes: Uint8Array): BundleManifest {
  const value = parseJson(bytes)
  const format = (value as { format?: unknown } | null)?.format
  if (typeof format === 'number' && format !== BUNDLE_FORMAT) {
    throw invalid('unknown-format', `has format ${format}, and this program reads format ${BUNDLE_FORMAT}: update it.`)
  }
  const checked = MANIFEST.safeParse(value)
  if (!checked.success) {
    const [issue] = checked.error.issues
    throw invalid(
      'manifest-shape',
      `does not hold what it must: ${issue?.path.map(String).join('.')}: ${issue?.message}.`,
    )
  }
  const manifest = { ...checked.data, manifest: serviceManifest(checked.data.manifest) }
  checkService(manifest)
  checkFiles(manifest.files)
  return manifest
}

function parseJson(bytes: Uint8Array): unknown {
  let text: string
  let value: unknown
  let written: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = JSON.parse(text, refusePrototype)
    written = JSON.stringify(value)
  } catch (error) {
    throw invalid('manifest-json', `is not JSON: ${messageOf(error)}. Pack the service again.`)
  }
  // One text for one value: no member twice, nothing hidden in white space, nothing another parser could read differently.
  if (written !== text) {
    throw invalid(
      'manifest-form',
      'is not written as packing writes it: members twice, or spaces. Pack the service again.',
    )
  }
  return value
}

/** A member of this name would become the prototype of whatever it is copied to. */
function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new Error('it has a member named __proto__')
  return value
}

function serviceManifest(value: Record<string, unknown>): Manifest {
  try {
    return parseManifest(value)
  } catch (error) {
    throw invalid(
      'service-manifest',
      `holds a manifest of the service that cannot be used: ${messageOf(error)}.`,
      error,
    )
  }
}

function checkService({ service, version, kind, manifest }: BundleManifest): void {
  if (manifest.name !== service || manifest.version !== version || (manifest.kind ?? 'program') !== kind) {
    throw invalid('manifest-contradiction', "contradicts the service's own manifest in name, version or kind.")
  }
  if (valid(version) !== version) {
    throw invalid(
      'version',
      `names the version ${JSON.stringify(version)}: semantic versions look like 1.4.2 or 2.0.0-rc.1.`,
    )
  }
}

/** @throws {DeployError} P2P_BUNDLE_INVALID, P2P_BUNDLE_TOO_LARGE, P2P_BUNDLE_ENTRY_FORBIDDEN */
function checkFiles(files: readonly BundleFile[]): void {
  if (files.length > BUNDLE_LIMITS.fileCountMax) {
    throw tooLarge('too-many-files', undefined, `has ${files.length} files; ${BUNDLE_LIMITS.fileCountMax} are allowed.`)
  }
  let totalBytes = 0
  for (const { path, sizeBytes } of files) {
    totalBytes += sizeBytes
    if (sizeBytes > BUNDLE_LIMITS.fileBytesMax) {
      throw tooLarge('file-too-large', path, `has ${sizeBytes} bytes; ${BUNDLE_LIMITS.fileBytesMax} are allowed.`)
    }
    if (totalBytes > BUNDLE_LIMITS.totalBytesMax) {
      throw tooLarge('total-too-large', undefined, `has more than ${BUNDLE_LIMITS.totalBytesMax} bytes of files.`)
    }
    if (path === BUNDLE_MANIFEST_NAME) {
      throw bundleError(
        'P2P_BUNDLE_ENTRY_FORBIDDEN',
        'manifest-name',
        path,
        "is the name of the bundle's own manifest.",
      )
    }
  }
  checkNames(files.map(({ path }) => path))
  const unsorted = files.findIndex(({ path }, index) => index > 0 && path < (files[index - 1] as BundleFile).path)
  if (unsorted >= 0) {
    throw bundleError(
      'P2P_BUNDLE_INVALID',
      'wrong-order',
      files[unsorted]?.path,
      'is not in its place: files are sorted.',
    )
  }
}

function invalid(reason: string, sentence: string, cause?: unknown): Error {
  return bundleError(
    'P2P_BUNDLE_INVALID',
    reason,
    BUNDLE_MANIFEST_NAME,
    sentence,
    cause === undefined ? undefined : { cause },
  )
}

function tooLarge(reason: string, entry: string | undefined, sentence: string): Error {
  return bundleError('P2P_BUNDLE_TOO_LARGE', reason, entry, `${sentence} Leave out what the service does not need.`)
}
