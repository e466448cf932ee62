import type { MethodView, ServiceDetails } from '../session/wire.ts'
import { docComment, memberName, typeOfSchema } from './type-of-schema.ts'

/**
 * A TypeScript file that types the proxy for the services given: `const services = this.proxy as ClusterServices`.
 * @param about where they were found, for the first line
 */
export function clientTypes(services: readonly ServiceDetails[], about: string): string {
  const ordered = services.toSorted((a, b) => (a.info.name < b.info.name ? -1 : 1))
  const names = typeNames(ordered.map(({ info }) => info.name))
  const interfaces = ordered.map((service) => serviceInterface(service, names.get(service.info.name) as string))
  const members = ordered.map(
    ({ info }) => `  readonly ${memberName(info.name)}: OnNodes<${names.get(info.name) as string}>\n`,
  )
  return `// Written by "p2p types" from ${about.replaceAll(/[\r\n]/g, ' ')}. Do not edit: run it again.
import type { CallOptions } from 'p2p-core/service'

/** The same methods on one node: \`.local\`, \`.remote\`, \`.coordinator\`, \`.worker\`, or a node id. */
type OnNodes<Service> = Service &
  Readonly<Record<'local' | 'remote' | 'coordinator' | 'worker', Service>> & { readonly [nodeId: string]: Service }

/** The services of the cluster: \`const services = this.proxy as ClusterServices\`. */
export interface ClusterServices {
${members.join('')}}
${interfaces.join('')}`
}

function serviceInterface({ info, method_details: methods }: ServiceDetails, name: string): string {
  return `\n${docComment(`${info.description} (${info.name} ${info.version})`, '')}export interface ${name} {\n${methods.map(methodMember).join('')}}\n`
}

function methodMember(method: MethodView): string {
  const { name, description, params, stream } = method
  const result = stream ? (method.item ?? null) : method.result
  const resultType = result === null ? 'unknown' : typeOfSchema(result, { isInput: false, indent: '  ' })
  const given = params === null ? 'object' : typeOfSchema(params, { isInput: true, indent: '  ' })
  const isOptional = params === null || !/^ {4}\S+[^?\n]: /m.test(given) ? '?' : ''
  const answer = stream ? `AsyncIterable<${resultType}>` : resultType
  return `${docComment(description, '  ')}  ${memberName(name)}(params${isOptional}: ${given}, options?: CallOptions): Promise<${answer}>\n`
}

/** `my_service` → `MyService`; two services of the same type name get a number. */
function typeNames(names: readonly string[]): Map<string, string> {
  const taken = new Set<string>(['ClusterServices', 'OnNodes', 'CallOptions'])
  const chosen = new Map<string, string>()
  for (const name of names) {
    const base = name
      .split(/[-_]+/)
      .filter((word) => word !== '')
      .map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`)
      .join('')
    let candidate = base
    for (let number = 2; taken.has(candidate); number++) candidate = `${base}${number}`
    taken.add(candidate)
    chosen.set(name, candidate)
  }
  return chosen
}
