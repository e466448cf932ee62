import { z } from 'zod'
import { messageOf, RpcError } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { isServiceName } from './jsonrpc/index.ts'

/** Longest `manifest.json` that is read. */
const MANIFEST_BYTES_MAX = 64 * 1_024

/**
 * The optional `manifest.json` beside a service's `main`: the name must be the one the code gives; version and
 * description stand in where the code gives none. Members of later versions are let through.
 */
const MANIFEST = z.looseObject({
  name: z
    .string()
    .refine(isServiceName, 'must be 1 to 63 letters, digits, "_" or "-", beginning with a letter')
    .optional(),
  version: z.string().min(1).max(64).optional(),
  description: z.string().max(1_000).optional(),
})

export type Manifest = z.infer<typeof MANIFEST>

/** @returns an empty manifest when there is no file. @throws {RpcError} P2P_SERVICE_LOAD_FAILED */
export async function readManifest(files: Files, path: string): Promise<Manifest> {
  const facts = await files.facts(path)
  if (!facts) return {}
  if (facts.sizeBytes > MANIFEST_BYTES_MAX) {
    throw failed(path, `it has ${facts.sizeBytes} bytes, ${MANIFEST_BYTES_MAX} are allowed`)
  }
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(await files.readFile(path)))
  } catch (error) {
    throw failed(path, messageOf(error))
  }
  const checked = MANIFEST.safeParse(value)
  if (checked.success) return checked.data
  throw failed(path, checked.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '))
}

function failed(path: string, reason: string): RpcError {
  return new RpcError('P2P_SERVICE_LOAD_FAILED', `${path}: ${reason}`, { path })
}
