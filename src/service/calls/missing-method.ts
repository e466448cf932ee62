import { closest, distance } from 'fastest-levenshtein'
import { RpcError } from '../../base/errors.ts'
import { parseMethodName } from '../jsonrpc/index.ts'

const NAMES_SHOWN_MAX = 12

/** @returns the refusal of a name that is not of the form `service/method` */
export function malformedMethod(method: string): RpcError {
  const shown = method.length > 128 ? `${method.slice(0, 128)}…` : method
  return new RpcError('P2P_RPC_METHOD_NOT_FOUND', `"${shown}" is not of the form service/method`, { method: shown })
}

/**
 * The refusal of a method nobody has.
 * @param known names of callable methods, `service/method`
 * @param where in whose name it is said: `node worker-1`, `the cluster`
 */
export function unknownMethod(method: string, known: readonly string[], where: string): RpcError {
  const parts = parseMethodName(method)
  if (!parts) return malformedMethod(method)
  const own = known.filter((name) => name.startsWith(`${parts.service}/`))
  const near = nearest(method, own.length > 0 ? own : known)
  const what = own.length > 0 ? `Service ${parts.service} has no method ${parts.method}` : `No service ${parts.service}`
  const suggestion = near === undefined ? '' : `; did you mean ${near}?`
  const listed = own.length > 0 && near === undefined ? `; it has ${own.slice(0, NAMES_SHOWN_MAX).join(', ')}` : ''
  const message = `${what} on ${where}${suggestion}${listed}`
  return new RpcError('P2P_RPC_METHOD_NOT_FOUND', message, { method, ...(near !== undefined && { suggestion: near }) })
}

/** The candidate that differs from `name` in at most a third of its letters. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0) return undefined
  const found = closest(name, candidates)
  return distance(name, found) <= Math.max(2, Math.ceil(name.length / 3)) ? found : undefined
}
