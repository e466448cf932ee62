import { type ErrorCode, RpcError } from '../../base/errors.ts'
import type { Clock } from '../../base/time.ts'
import type { MethodDescriptor } from '../definition/descriptor.ts'
import type { ServiceSpec } from '../definition/service-spec.ts'
import type { Driver, RunOrder } from './run.ts'

/** Of code that is only loaded: whoever waits is a person who deploys it. */
const DESCRIBE_MS_MAX = 10_000
const NO_PERMISSIONS = { net: false, childProcess: false, read: [], write: [] }

/**
 * Asks a service's code for its methods: it is loaded and constructed in a process of its own, without the network, other programs,
 * secrets, and files but its own; it is not initialized, and ended at once.
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED, P2P_SERVICE_START_FAILED
 */
export function describeMethods(
  { driver, clock }: { driver: Driver; clock: Clock },
  spec: ServiceSpec,
  limitMs = DESCRIBE_MS_MAX,
): Promise<readonly MethodDescriptor[]> {
  const failed = (code: ErrorCode, reason: string): RpcError => new RpcError(code, reason, { service: spec.name })
  const told = Promise.withResolvers<readonly MethodDescriptor[]>()
  const order: RunOrder = {
    id: `${spec.name}#0`,
    spec: { ...spec, kind: 'process', instances: 1, secrets: {}, permissions: NO_PERMISSIONS },
    processStartMs: limitMs,
    startTimeoutMs: limitMs,
    stopTimeoutMs: limitMs,
    isOnlyDescribed: true,
  }
  const run = driver.start(order, {
    loaded(name) {
      if (name === spec.name) return
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', `its code names the service ${name}, and not ${spec.name}`)
    },
    ready: ({ methods }) => told.resolve(methods),
    health: () => {},
    ended({ cause, reason }) {
      limit.cancel()
      told.reject(failed(cause === 'hopeless' ? 'P2P_SERVICE_LOAD_FAILED' : 'P2P_SERVICE_START_FAILED', reason))
    },
  })
  const limit = clock.after(limitMs, () => {
    told.reject(failed('P2P_SERVICE_START_FAILED', `its code was not loaded within ${limitMs} ms`))
    run.kill()
  })
  return told.promise
}
