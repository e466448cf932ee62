import { realpathSync } from 'node:fs'
import { RpcError } from '../../base/errors.ts'
import type { DriverNeeds, DriverOptions } from './driver-needs.ts'
import type { LoadOrder } from './host-message.ts'
import { findMain } from './main-file.ts'
import type { RunOrder } from './run.ts'
import { dataDirectoryOf } from './service-directories.ts'
import type { Translations } from './translations.ts'

/**
 * Makes ready on the disk what a service's code needs, and says what its host has to know.
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED: no main file, or one that cannot be parsed
 */
export async function prepareLoad(
  { files, identity }: DriverNeeds,
  { sdkUrl, stateDirectory, callTimeoutMs }: DriverOptions,
  translations: Translations,
  { spec, startTimeoutMs, stopTimeoutMs }: RunOrder,
): Promise<LoadOrder> {
  const main = await findMain(files, spec.folder)
  if (main === undefined) {
    throw new RpcError('P2P_SERVICE_LOAD_FAILED', `There is no main.ts and no main.js in ${spec.folder}`)
  }
  const dataDirectory = dataDirectoryOf(stateDirectory, spec.name)
  await files.makeDirectory(dataDirectory)
  const { name, version, description } = spec.manifest
  return {
    type: 'load',
    nodeId: identity.nodeId,
    role: identity.role,
    folder: realpathSync(spec.folder),
    main: realpathSync(main),
    manifest: { name, version, description },
    sdkUrl,
    translated: await translations.of(spec.folder, main),
    config: spec.config,
    secrets: spec.secrets,
    dataDirectory: realpathSync(dataDirectory),
    callTimeoutMs,
    startTimeoutMs,
    stopTimeoutMs,
  }
}
