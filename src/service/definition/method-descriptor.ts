import { RpcError } from '../../base/errors.ts'
import type { MethodDescriptor } from './descriptor.ts'
import { isServiceName } from '../jsonrpc/index.ts'
import { jsonSchemaOf } from './schema-check.ts'
import type { MethodOptions } from '../sdk/method.ts'

const TIMEOUT_MS = 30_000

/** What is told of a method, from what its author said of it. */
export function describeMethod(service: string, name: string, options: MethodOptions): MethodDescriptor {
  const params = jsonSchemaOf(options.params, 'input')
  const result = jsonSchemaOf(options.result, 'output')
  const item = jsonSchemaOf(options.item, 'output')
  const { callers, rate, concurrency, queue } = options
  return {
    service,
    name,
    description: options.description,
    isPublic: options.public ?? false,
    ...(callers && { callers }),
    ...(params && { params }),
    ...(result && { result }),
    ...(options.stream && { isStream: true }),
    ...(item && { item }),
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    ...(options.idempotent && { isIdempotent: true }),
    cacheTtlMs: options.cacheTtlMs ?? 0,
    ...(rate && { rate }),
    ...(concurrency !== undefined && { concurrency }),
    ...(queue !== undefined && { queue }),
    requiredRole: options.requiredRole ?? 'operator',
  }
}

/**
 * The types say so; an author who writes JavaScript has none.
 * @param method named in the message: `method lend of service library`
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED
 */
export function checkMethodOptions(method: string, options: MethodOptions): void {
  const { description, timeoutMs = 1, cacheTtlMs = 0, callers = [], concurrency = 1, queue = 0, rate } = options
  if (typeof description !== 'string') throw failed(`${method} needs a description`)
  if (!(timeoutMs > 0)) throw failed(`timeoutMs of ${method} must be above 0`)
  if (!(cacheTtlMs >= 0)) throw failed(`cacheTtlMs of ${method} must not be below 0`)
  if (!Array.isArray(callers) || !callers.every((name) => typeof name === 'string' && isServiceName(name))) {
    throw failed(`callers of ${method} must be a list of names of services`)
  }
  if (!(Number.isInteger(concurrency) && concurrency > 0)) {
    throw failed(`concurrency of ${method} must be a whole number above 0`)
  }
  if (!(Number.isInteger(queue) && queue >= 0)) throw failed(`queue of ${method} must be a whole number from 0`)
  if (options.queue !== undefined && options.concurrency === undefined) {
    throw failed(`queue of ${method} says nothing without concurrency`)
  }
  if (rate && !(rate.perMinute > 0 && rate.burst >= 1)) {
    throw failed(`rate of ${method} needs perMinute above 0 and burst from 1`)
  }
  if (options.stream && options.result) throw failed(`${method} streams: describe its items with item, not result`)
  if (options.stream && cacheTtlMs > 0) throw failed(`${method} streams: a stream is not kept, leave out cacheTtlMs`)
  if (options.item && !options.stream) throw failed(`${method} has item without stream: true`)
}

function failed(reason: string): RpcError {
  return new RpcError('P2P_SERVICE_LOAD_FAILED', reason)
}
