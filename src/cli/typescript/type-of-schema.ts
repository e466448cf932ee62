import type { JsonSchema } from '../session/wire.ts'

/** What a method's schema may hold besides what the command line asks of it (JSON Schema 2020-12, as Zod writes it). */
interface FullSchema extends Omit<JsonSchema, 'items' | 'anyOf' | 'properties' | 'additionalProperties'> {
  const?: unknown
  items?: FullSchema | boolean
  prefixItems?: FullSchema[]
  anyOf?: FullSchema[]
  oneOf?: FullSchema[]
  allOf?: FullSchema[]
  properties?: Record<string, FullSchema>
  additionalProperties?: boolean | FullSchema
  $ref?: string
  $defs?: Record<string, FullSchema>
}

const DEPTH_MAX = 16
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/

/**
 * A JSON Schema as a TypeScript type. What it cannot say becomes `unknown`, never something narrower than the schema.
 * @param isInput true: members with a default may be left out
 * @returns the text of a type, lines after the first indented by `indent`
 */
export function typeOfSchema(schema: JsonSchema, options: { isInput: boolean; indent: string }): string {
  return new TypeWriter(schema as FullSchema, options.isInput).write(schema as FullSchema, options.indent, 0)
}

/** Text for a documentation comment in front of a member; empty without a description. */
export function docComment(description: string | undefined, indent: string): string {
  if (description === undefined || description === '') return ''
  // A description is a service's own text: it must not end the comment.
  const lines = description.replaceAll('*/', '*\u200b/').split(/\r\n|[\n\r\u2028\u2029]/)
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join('')}${indent} */\n`
}

/** The name of a member, quoted where it must be. */
export function memberName(name: string): string {
  return IDENTIFIER.test(name) ? name : JSON.stringify(name)
}

class TypeWriter {
  readonly #root: FullSchema
  readonly #isInput: boolean

  constructor(root: FullSchema, isInput: boolean) {
    this.#root = root
    this.#isInput = isInput
  }

  write(schema: FullSchema | boolean | undefined, indent: string, depth: number): string {
    if (schema === undefined || typeof schema === 'boolean' || depth > DEPTH_MAX) return 'unknown'
    const inner = (part: FullSchema | boolean | undefined): string => this.write(part, indent, depth + 1)
    if (schema.$ref !== undefined) return this.write(this.#target(schema.$ref), indent, depth + 1)
    if ('const' in schema) return literal(schema.const)
    if (schema.enum) return union(schema.enum.map(literal))
    const options = schema.anyOf ?? schema.oneOf
    if (options) return union(options.map(inner))
    if (schema.allOf) return schema.allOf.map((part) => inGroup(inner(part))).join(' & ') || 'unknown'
    const types = schema.type === undefined ? [] : [schema.type].flat()
    return types.length === 0 ? 'unknown' : union(types.map((type) => this.#ofType(type, schema, indent, depth)))
  }

  #ofType(type: string, schema: FullSchema, indent: string, depth: number): string {
    switch (type) {
      case 'string':
      case 'boolean':
      case 'null':
        return type
      case 'number':
      case 'integer':
        return 'number'
      case 'array': {
        if (!schema.prefixItems) return `${inGroup(this.write(schema.items, indent, depth + 1))}[]`
        const items = schema.prefixItems.map((item) => this.write(item, indent, depth + 1))
        const rest = schema.items ? [`...${inGroup(this.write(schema.items, indent, depth + 1))}[]`] : []
        return `[${[...items, ...rest].join(', ')}]`
      }
      case 'object':
        return this.#object(schema, indent, depth)
      default:
        return 'unknown'
    }
  }

  #object({ properties, required, additionalProperties }: FullSchema, indent: string, depth: number): string {
    const names = Object.entries(properties ?? {})
    const rest =
      typeof additionalProperties === 'object' ? this.write(additionalProperties, indent, depth + 1) : undefined
    if (names.length === 0) {
      if (rest !== undefined) return `Record<string, ${rest}>`
      return additionalProperties === false ? 'Record<string, never>' : 'Record<string, unknown>'
    }
    const deeper = `${indent}  `
    const needed = new Set(required)
    const members = names.map(([name, member]) => {
      const isOptional = !needed.has(name) || (this.#isInput && 'default' in member)
      const type = this.write(member, deeper, depth + 1)
      return `${docComment(member.description, deeper)}${deeper}${memberName(name)}${isOptional ? '?' : ''}: ${type}\n`
    })
    const object = `{\n${members.join('')}${indent}}`
    return rest === undefined ? object : `${object} & Record<string, unknown>`
  }

  #target(reference: string): FullSchema | undefined {
    if (reference === '#') return this.#root
    const name = /^#\/\$defs\/([^/]+)$/.exec(reference)?.[1]
    return name === undefined ? undefined : this.#root.$defs?.[name.replaceAll('~1', '/').replaceAll('~0', '~')]
  }
}

function literal(value: unknown): string {
  const isSimple = value === null || ['string', 'number', 'boolean'].includes(typeof value)
  return isSimple ? JSON.stringify(value) : 'unknown'
}

function union(types: readonly string[]): string {
  const different = [...new Set(types)]
  if (different.length === 0 || different.includes('unknown')) return 'unknown'
  return different.join(' | ')
}

/** In brackets where it stands beside `[]` or `&`. */
function inGroup(type: string): string {
  return / [|&] /.test(type) && !/^\{[^]*\}$/.test(type) ? `(${type})` : type
}
