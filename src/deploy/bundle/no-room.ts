import { DeployError } from '../../base/errors.ts'
import { isDiskFull } from '../../base/system-failure.ts'

/** The same error, but ours with the remedy when the disk is full. */
export function asNoRoom(error: unknown, path: string): unknown {
  if (!isDiskFull(error)) return error
  return new DeployError(
    'P2P_ARTIFACT_NO_ROOM',
    `The disk of ${path} is full; what was being written was removed again. Free space there; nothing else is needed`,
    { reason: 'disk-full' },
    { cause: error },
  )
}
