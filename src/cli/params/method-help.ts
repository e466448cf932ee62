import { spanText } from '../output/relative-time.ts'
import { type Format, plain } from '../output/style.ts'
import { renderTable } from '../output/table.ts'
import type { JsonSchema, MethodView } from '../session/wire.ts'

/** The help of one method, from its description and schemas. */
export function methodHelp(
  service: string,
  method: MethodView,
  style: (format: Format, text: string) => string,
): string {
  const name = `${service}/${method.name}`
  const required = new Set(method.params?.required)
  const rows = Object.entries(method.params?.properties ?? {}).map(([param, schema]) => ({ param, schema }))
  const usage = rows.map(({ param }) => (required.has(param) ? `--param ${param}=…` : `[--param ${param}=…]`))
  const params =
    rows.length === 0
      ? method.params === null
        ? 'Its parameters are not described: give them as --params JSON.\n'
        : 'It takes no parameters.\n'
      : renderTable(
          rows,
          [
            { title: 'PARAMETER', value: (row) => row.param, style: () => 'cyan' },
            { title: 'TYPE', value: (row) => typeText(row.schema) },
            { title: 'DEFAULT', value: (row) => (required.has(row.param) ? 'required' : defaultText(row.schema)) },
            { title: 'DESCRIPTION', value: (row) => row.schema.description },
          ],
          { width: undefined, style },
        )
  return `${[`p2p call ${name}`, ...usage].join(' ')}

${plain(method.description) || '(no description)'}

${params}
Needs the role ${method.required_role}. Waits up to ${spanText(method.timeout_ms)}.
`
}

function typeText(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map(String).join(' | ')
  if (schema.anyOf) return schema.anyOf.map(typeText).join(' | ')
  if (schema.type === 'array') return `${typeText(schema.items ?? {})}, several`
  return schema.type === undefined ? 'any' : [schema.type].flat().join(' | ')
}

function defaultText(schema: JsonSchema): string | undefined {
  return schema.default === undefined ? undefined : JSON.stringify(schema.default)
}
