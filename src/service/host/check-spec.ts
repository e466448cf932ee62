import { resolve, sep } from 'node:path'
import { RpcError } from '../../base/errors.ts'
import { askedPermissions } from '../definition/manifest.ts'
import type { ServiceSpec } from '../definition/service-spec.ts'

/**
 * Whether what is to be run was granted and given what it asks for.
 * @throws {RpcError} P2P_SERVICE_PERMISSION_DENIED, P2P_SERVICE_LOAD_FAILED
 */
export function checkSpec({ name, manifest, folder, permissions, secrets }: ServiceSpec): void {
  const asked = askedPermissions(manifest, folder)
  const missing = [
    ...(asked.net && !permissions.net ? ['net'] : []),
    ...(asked.childProcess && !permissions.childProcess ? ['childProcess'] : []),
    ...notCovered(asked.read, [...permissions.read, ...permissions.write]).map((path) => `read ${path}`),
    ...notCovered(asked.write, permissions.write).map((path) => `write ${path}`),
  ]
  if (missing.length > 0) {
    const message = `Service ${name} asks for what it was not granted: ${missing.join(', ')}. Grant it, or take it out of permissions in its manifest.json`
    throw new RpcError('P2P_SERVICE_PERMISSION_DENIED', message, { service: name, missing })
  }
  const lacking = (manifest.secrets ?? []).filter((secret) => secrets[secret] === undefined)
  if (lacking.length === 0) return
  const message = `Service ${name} needs secrets it was not given: ${lacking.join(', ')}. Deploy it with them ("p2p deploy --secret")`
  throw new RpcError('P2P_SERVICE_LOAD_FAILED', message, { service: name, secrets: lacking })
}

function notCovered(asked: readonly string[], granted: readonly string[]): string[] {
  const covers = (directory: string, path: string): boolean =>
    path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep)
  return asked.filter((path) => !granted.some((directory) => covers(resolve(directory), path)))
}
