import { RpcError } from '../../base/errors.ts'
import { isMethodName, isServiceName } from '../jsonrpc/index.ts'
import type { Manifest } from './manifest.ts'
import { checkMethodOptions } from './method-descriptor.ts'
import type { BaseService } from '../sdk/base-service.ts'
import { ATTACH, SERVICE_CLASS, SERVICE_DEFINITION, SERVICE_METHOD } from '../sdk/brands.ts'
import type { ServiceDefinition } from '../sdk/define-service.ts'
import type { MethodCall, MethodOptions } from '../sdk/method.ts'
import type { ServiceProxy } from '../sdk/service-proxy.ts'
import type { ServiceRuntime, SettingsChange } from '../sdk/service-runtime.ts'

/** A method as its author wrote it. */
export interface BodyMethod {
  name: string
  options: MethodOptions
  invoke: (params: unknown, call: MethodCall) => unknown
}

/** What an author's code is to the node, whichever way it was written. */
export interface ServiceBody {
  readonly methods: readonly BodyMethod[]
  initialize(): void | Promise<void>
  cleanup(): void | Promise<void>
  reconfigure(change: SettingsChange): void | Promise<void>
  /** Asked after `initialize`, which may still set them. */
  info(): { version: string; description: string; metadata: Record<string, unknown> }
}

/** What is known of a service before its code ran: its name, and how to bring it to life. */
export interface ServiceSource {
  name: string
  create(runtime: ServiceRuntime, proxy: ServiceProxy): ServiceBody
}

/** A class as `main` exports it under the name `Run`. */
export type RunClass = (new (
  serviceName: string,
  proxyClient?: ServiceProxy,
) => BaseService) & { SERVICE_NAME?: unknown }

/**
 * Finds the service in what `main` exports: a default export made by `defineService`, or a class `Run`.
 * @param folderName name of a class that does not give its own
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED saying what is missing
 */
export function sourceOfModule(
  exports: Record<string, unknown>,
  manifest: Manifest,
  folderName: string,
): ServiceSource {
  const { Run: named, default: fallback } = exports
  const source = sourceOf(isDefinition(fallback) ? fallback : (named ?? fallback), manifest, folderName)
  if (manifest.name !== undefined && manifest.name !== source.name) {
    throw failed(`manifest.json names the service ${manifest.name}, its code ${source.name}: make them the same`)
  }
  return source
}

/**
 * The service behind what `defineService` returned, or behind a class that extends `BaseService`.
 * @param nameOfClass of a class that does not give its own
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED saying what is missing
 */
export function sourceOf(value: unknown, manifest: Manifest, nameOfClass: string): ServiceSource {
  return isDefinition(value) ? sourceOfDefinition(value) : sourceOfClass(value, manifest, nameOfClass)
}

/** @throws {RpcError} P2P_SERVICE_LOAD_FAILED for names that are none */
export function sourceOfDefinition(definition: ServiceDefinition): ServiceSource {
  checkServiceName(definition.name)
  const methods = Object.entries(definition.methods).map(([name, method]): BodyMethod => {
    checkMethod(definition.name, name, method)
    const handler = method.handler.bind(method) as BodyMethod['invoke']
    return { name, options: method, invoke: handler }
  })
  const { version, description, metadata = {} } = definition
  return {
    name: definition.name,
    create: (runtime) => ({
      methods,
      initialize: () => definition.initialize?.(runtime),
      cleanup: () => definition.cleanup?.(runtime),
      reconfigure: (change) => definition.reconfigure?.(runtime, change),
      info: () => ({ version, description, metadata }),
    }),
  }
}

function sourceOfClass(value: unknown, manifest: Manifest, folderName: string): ServiceSource {
  if (typeof value !== 'function') {
    throw failed('it exports neither a class Run that extends BaseService nor, as default, what defineService returns')
  }
  const Run = value as RunClass
  if (!(SERVICE_CLASS in (Run.prototype ?? {})))
    throw failed('class Run does not extend BaseService of p2p-core/service')
  const name = Run.SERVICE_NAME ?? folderName
  if (typeof name !== 'string') throw failed('static SERVICE_NAME of class Run must be a string')
  checkServiceName(name)
  return {
    name,
    create(runtime, proxy) {
      const service = new Run(name, proxy)
      service[ATTACH](runtime)
      return {
        methods: markedMethods(service, name),
        initialize: () => service.initialize(),
        cleanup: () => service.cleanup(),
        reconfigure: (change) => service.reconfigure(change),
        info: () => ({
          version: text(service.info.version) || (manifest.version ?? ''),
          description: text(service.info.description) || (manifest.description ?? ''),
          metadata: service.info.metadata,
        }),
      }
    },
  }
}

/** The methods marked with `serviceMethod`, inherited ones included; one that hides a marked one unmarked is not callable. */
function markedMethods(service: object, serviceName: string): BodyMethod[] {
  const methods = new Map<string, BodyMethod | undefined>()
  for (let level: unknown = Object.getPrototypeOf(service); level; level = Object.getPrototypeOf(level)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      if (methods.has(name)) continue
      methods.set(
        name,
        typeof value === 'function' ? markedMethod(service, serviceName, name, value as Marked) : undefined,
      )
    }
  }
  return [...methods.values()].filter((method) => method !== undefined)
}

type Marked = ((params: unknown, call: MethodCall) => unknown) & { [SERVICE_METHOD]?: MethodOptions }

function markedMethod(service: object, serviceName: string, name: string, value: Marked): BodyMethod | undefined {
  const options = value[SERVICE_METHOD]
  if (!options) return undefined
  checkMethod(serviceName, name, options)
  return { name, options, invoke: value.bind(service) }
}

function isDefinition(value: unknown): value is ServiceDefinition {
  return typeof value === 'object' && value !== null && SERVICE_DEFINITION in value
}

function checkServiceName(name: string): void {
  if (isServiceName(name)) return
  throw failed(`"${name}" is no service name: 1 to 63 letters, digits, "_" or "-", beginning with a letter`)
}

function checkMethod(service: string, name: string, options: MethodOptions): void {
  const method = `method ${name} of service ${service}`
  if (!isMethodName(name)) {
    throw failed(
      `"${name}" of service ${service} is no method name: 1 to 63 letters, digits, "_" or "-", beginning with a letter`,
    )
  }
  if (RESERVED.has(name)) throw failed(`${method}: every service has one already; choose another name`)
  checkMethodOptions(method, options)
}

/** Given to every service by the node. */
const RESERVED: ReadonlySet<string> = new Set(['ping', 'get_service_info'])

/** An author who writes JavaScript may set anything. */
function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function failed(reason: string): RpcError {
  return new RpcError('P2P_SERVICE_LOAD_FAILED', reason)
}
