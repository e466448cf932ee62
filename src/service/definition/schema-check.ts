import { RpcError } from '../../base/errors.ts'
import type { JsonSchema } from './descriptor.ts'
import type { Schema, SchemaIssue, SchemaResult } from '../sdk/schema.ts'

/** Issues told to the caller; a body of 1 MiB can have thousands. */
const ISSUES_MAX = 20

/** A schema as JSON Schema 2020-12, where its library can say it and the schema has one (a transform has none). */
export function jsonSchemaOf(schema: Schema | undefined, side: 'input' | 'output'): JsonSchema | undefined {
  try {
    return schema?.['~standard'].jsonSchema?.[side]({ target: 'draft-2020-12' })
  } catch {
    return undefined
  }
}

/** The names that positional parameters get, in order; undefined when the schema tells no names. */
export function parameterNames(params: JsonSchema | undefined): readonly string[] | undefined {
  const properties = params?.type === 'object' ? params.properties : undefined
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : undefined
}

/**
 * Parameters as the object a method takes.
 * @throws {RpcError} P2P_RPC_INVALID_PARAMS: positional parameters that cannot be named
 */
export function namedParams(method: string, params: unknown, names: readonly string[] | undefined): unknown {
  if (params === undefined || params === null) return {}
  if (!Array.isArray(params)) return params
  if (!names) throw invalidParams(method, [{ message: 'takes named parameters: send an object' }])
  if (params.length > names.length) {
    throw invalidParams(method, [
      { message: `takes ${names.length} parameters (${names.join(', ')}), got ${params.length}` },
    ])
  }
  return Object.fromEntries(params.map((value, i) => [names[i] as string, value]))
}

/** @throws {RpcError} P2P_RPC_INVALID_PARAMS with the path of each issue */
export function parsedParams(method: string, result: SchemaResult<unknown>): unknown {
  if (!result.issues) return result.value
  throw invalidParams(method, result.issues)
}

/** @throws {RpcError} P2P_RPC_INVALID_RESULT with the path of each issue */
export function parsedResult(method: string, result: SchemaResult<unknown>): unknown {
  if (!result.issues) return result.value
  const issues = result.issues.slice(0, ISSUES_MAX).map(readableIssue)
  throw new RpcError('P2P_RPC_INVALID_RESULT', `${method} returned what its schema forbids: ${summary(issues)}`, {
    method,
    issues,
  })
}

function invalidParams(method: string, found: readonly SchemaIssue[]): RpcError {
  const issues = found.slice(0, ISSUES_MAX).map(readableIssue)
  return new RpcError('P2P_RPC_INVALID_PARAMS', `${method}: ${summary(issues)}`, { method, issues })
}

interface ReadableIssue {
  /** `filters[0].name`; empty for the parameters as a whole. */
  path: string
  message: string
}

/** Zod's words for a value that was left out: JavaScript's, not the caller's. */
const LEFT_OUT = /^Invalid input: (expected .+), received undefined$/

function readableIssue(issue: SchemaIssue): ReadableIssue {
  let path = ''
  for (const part of issue.path ?? []) {
    const key = typeof part === 'object' ? part.key : part
    if (typeof key === 'number') path += `[${key}]`
    else path += path === '' ? String(key) : `.${String(key)}`
  }
  return { path, message: issue.message.replace(LEFT_OUT, 'is missing, $1') }
}

function summary(issues: readonly ReadableIssue[]): string {
  return issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
}
