import { basename, join } from 'node:path'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import { askedPermissions, readManifest } from '../definition/manifest.ts'
import type { ServiceKind, ServiceSpec } from '../definition/service-spec.ts'
import { findMain } from './main-file.ts'

/** Folders looked into; a node with more has its `services_directory` set to something else. */
const SERVICES_MAX = 256

/**
 * Paths of the folders that hold a service, in name order.
 * @param directory one that is not there holds none
 */
export async function findServiceFolders(
  { files, log }: { files: Files; log: Logger },
  directory: string,
): Promise<string[]> {
  if (!(await files.facts(directory))) return []
  const names = (await files.list(directory)).sort()
  if (names.length > SERVICES_MAX) {
    const fields = { directory, found: names.length, limit: SERVICES_MAX }
    log.warning('The services directory holds too many entries; the last ones are left out', fields)
  }
  const paths = names.slice(0, SERVICES_MAX).map((name) => join(directory, name))
  const isService = await Promise.all(paths.map((path) => holdsService(files, path)))
  return paths.filter((_, i) => isService[i])
}

/** A program needs no main file; whether it is one, its manifest says. */
async function holdsService(files: Files, path: string): Promise<boolean> {
  if ((await findMain(files, path)) !== undefined) return true
  const text = await files.readFile(join(path, 'manifest.json')).catch(() => undefined)
  return text !== undefined && Buffer.from(text).includes('"exec"')
}

/**
 * What the folder's manifest makes of it. Whoever put it there grants what it asks for.
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED: the manifest is wrong
 */
export async function specOfFolder(files: Files, folder: string, kindDefault: ServiceKind): Promise<ServiceSpec> {
  const manifest = await readManifest(files, join(folder, 'manifest.json'))
  return {
    name: basename(folder),
    version: manifest.version ?? '',
    folder,
    kind: manifest.kind ?? (manifest.exec ? 'exec' : kindDefault),
    instances: manifest.instances ?? 1,
    manifest,
    permissions: askedPermissions(manifest, folder),
    config: manifest.config ?? {},
    secrets: {},
  }
}
