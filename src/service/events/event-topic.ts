import { RpcError } from '../../base/errors.ts'

/** Of a topic, and of a pattern. */
const LENGTH_MAX = 128
const TOPIC = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/
const PATTERN = /^(?:\*|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*(?:\.\*)?)$/

/** @throws {RpcError} P2P_RPC_INVALID_PARAMS */
export function checkTopic(topic: string): void {
  if (topic.length <= LENGTH_MAX && TOPIC.test(topic)) return
  throw wrong(topic, 'topic: words of letters, digits, "_" and "-" with dots between them, for example orders.created')
}

/** @throws {RpcError} P2P_RPC_INVALID_PARAMS */
export function checkPattern(pattern: string): void {
  if (pattern.length <= LENGTH_MAX && PATTERN.test(pattern)) return
  throw wrong(pattern, 'pattern: a topic, the beginning of topics as in orders.*, or * for every topic')
}

/** `orders.*` takes everything below `orders`, and `*` every topic. */
export function matchesTopic(pattern: string, topic: string): boolean {
  if (pattern === topic || pattern === '*') return true
  return pattern.endsWith('.*') && topic.startsWith(pattern.slice(0, -1))
}

function wrong(given: string, what: string): RpcError {
  return new RpcError('P2P_RPC_INVALID_PARAMS', `"${given.slice(0, LENGTH_MAX)}" is no ${what}`)
}
