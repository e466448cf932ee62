import type { JsonSchema, MethodDescriptor, ServiceDescription } from '../definition/descriptor.ts'

/** An OpenAPI 3.1 document, as far as it is looked into here. */
export interface OpenApiDocument {
  openapi: string
  paths: Record<string, Record<string, Record<string, unknown>>>
  components: { schemas: Record<string, JsonSchema>; [kind: string]: unknown }
  [member: string]: unknown
}

/**
 * The document with every public method of the services: parameters and result as named schemas, the request's
 * possible forms under `POST /rpc`, and the list `x-methods` there for tools.
 */
export function withServiceMethods(
  document: OpenApiDocument,
  services: readonly ServiceDescription[],
): OpenApiDocument {
  const methods = services.flatMap((service) => service.methods.filter((method) => method.isPublic))
  const schemas: Record<string, JsonSchema> = { ...document.components.schemas, ...ENVELOPE_SCHEMAS }
  for (const method of methods) Object.assign(schemas, schemasOf(method))
  const rpc = document.paths['/rpc'] as Record<string, Record<string, unknown>>
  const call = {
    ...rpc['post'],
    'x-methods': methods.map(methodEntry),
    requestBody: { required: true, content: { 'application/json': { schema: requestSchema(methods) } } },
    responses: {
      ...(rpc['post']?.['responses'] as object),
      200: {
        description: 'One answer, or a batch of them',
        content: {
          'application/json': {
            schema: { anyOf: [ref('JsonRpcResponse'), { type: 'array', items: ref('JsonRpcResponse') }] },
          },
        },
      },
    },
  }
  return {
    ...document,
    paths: { ...document.paths, '/rpc': { ...rpc, post: call } },
    components: { ...document.components, schemas },
  }
}

const ID: JsonSchema = { type: ['string', 'number', 'null'] }

const ENVELOPE_SCHEMAS: Record<string, JsonSchema> = {
  JsonRpcRequest: {
    type: 'object',
    description: 'JSON-RPC 2.0 section 4; without id a notification',
    required: ['jsonrpc', 'method'],
    properties: {
      jsonrpc: { const: '2.0' },
      method: { type: 'string', description: '`service/method`' },
      params: { type: ['object', 'array'] },
      id: ID,
    },
  },
  JsonRpcResponse: {
    type: 'object',
    description: 'JSON-RPC 2.0 section 5: result or error',
    required: ['jsonrpc', 'id'],
    properties: {
      jsonrpc: { const: '2.0' },
      result: {},
      error: {
        type: 'object',
        required: ['code', 'message'],
        properties: { code: { type: 'integer' }, message: { type: 'string' }, data: { type: 'object' } },
      },
      id: ID,
    },
  },
}

function requestSchema(methods: readonly MethodDescriptor[]): JsonSchema {
  const single = [ref('JsonRpcRequest'), ...methods.map((method) => ref(`${nameOf(method)}.request`))]
  return { anyOf: [...single, { type: 'array', items: ref('JsonRpcRequest'), maxItems: 50 }] }
}

function schemasOf(method: MethodDescriptor): Record<string, JsonSchema> {
  const name = nameOf(method)
  return {
    [`${name}.params`]: embedded(method.params ?? {}, `${name}.params`),
    [`${name}.result`]: embedded(method.result ?? {}, `${name}.result`),
    [`${name}.request`]: {
      type: 'object',
      title: `${method.service}/${method.name}`,
      description: method.description,
      required: ['jsonrpc', 'method'],
      properties: {
        jsonrpc: { const: '2.0' },
        method: { const: `${method.service}/${method.name}` },
        params: ref(`${name}.params`),
        id: ID,
      },
    },
  }
}

function methodEntry(method: MethodDescriptor): object {
  const name = nameOf(method)
  return {
    method: `${method.service}/${method.name}`,
    description: method.description,
    required_role: method.requiredRole,
    timeout_ms: method.timeoutMs,
    cache_ttl_ms: method.cacheTtlMs,
    params: ref(`${name}.params`),
    result: ref(`${name}.result`),
  }
}

/** Service and method names are letters, digits, `_` and `-`, so this is a component name (OpenAPI 3.1 section 4.8.7). */
function nameOf(method: MethodDescriptor): string {
  return `rpc.${method.service}.${method.name}`
}

function ref(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` }
}

/** A schema of its own as part of the document: its references to itself must begin where it now stands. */
function embedded(schema: JsonSchema, name: string): JsonSchema {
  const { $schema: _dialect, ...rest } = schema
  return rebased(rest, `#/components/schemas/${name}`) as JsonSchema
}

function rebased(value: unknown, base: string): unknown {
  if (Array.isArray(value)) return value.map((item) => rebased(item, base))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => {
    const isLocalRef = key === '$ref' && typeof item === 'string' && item.startsWith('#')
    return [key, isLocalRef ? base + item.slice(1) : rebased(item, base)]
  })
  return Object.fromEntries(entries)
}
