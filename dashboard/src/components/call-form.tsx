import { Button, Checkbox, NativeSelect, NumberInput, Textarea, TextInput } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { messageOf, send } from '../api/http.ts'
import type { JsonSchema, MethodDetails } from '../api/types.ts'
import { Refusal } from './empty.tsx'

interface RpcAnswer {
  result?: unknown
  error?: { code: number; message: string; data?: unknown }
}

/** What a field holds; JSON fields hold their text. */
type FieldValue = string | number | boolean | undefined

/** Calls a method of a service: a field for each parameter of its schema, the answer below. */
export function CallForm(props: {
  service: string
  method: MethodDetails
  /** Node to call it on. */
  target: string | undefined
}) {
  const { service, method, target } = props
  const fields = Object.entries(method.params?.properties ?? {})
  // A schema that names no parameters takes none; one that does not speak of any may take all.
  const takesAnything = method.params !== null && method.params.properties === undefined
  const [values, setValues] = useState<Record<string, FieldValue>>(() => defaultsOf(fields))
  const [raw, setRaw] = useState('{}')
  const call = useMutation({
    mutationFn: async () => {
      const params = takesAnything ? parsed('Parameters', raw) : paramsOf(fields, values)
      const body = { jsonrpc: '2.0', id: 1, method: `${service}/${method.name}`, params }
      const startedAt = performance.now()
      const path = target === undefined ? '/rpc' : `/rpc?node=${encodeURIComponent(target)}`
      const answer = await send<RpcAnswer>('POST', path, body)
      return { answer, tookMs: performance.now() - startedAt }
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    call.mutate()
  }
  return (
    <form className="form" onSubmit={submit}>
      {method.description !== '' && <p className="muted">{method.description}</p>}
      {fields.map(([name, schema]) => (
        <Field
          key={name}
          name={name}
          schema={schema}
          isRequired={method.params?.required?.includes(name) ?? false}
          value={values[name]}
          onChange={(value) => setValues({ ...values, [name]: value })}
        />
      ))}
      {fields.length === 0 && !takesAnything && <p className="muted">It takes no parameters.</p>}
      {takesAnything && (
        <Textarea
          label="Parameters (JSON)"
          value={raw}
          onChange={(event) => setRaw(event.currentTarget.value)}
          classNames={{ input: 'mono' }}
          rows={4}
        />
      )}
      <div className="form-row">
        <Button type="submit" loading={call.isPending}>
          Call {method.name}
        </Button>
        {call.data && <span className="muted small">answered in {call.data.tookMs.toFixed(0)} ms</span>}
      </div>
      {call.error && <Refusal>{messageOf(call.error)}</Refusal>}
      {call.data?.answer.error && <Refusal>{call.data.answer.error.message}</Refusal>}
      {call.data && !call.data.answer.error && (
        <pre className="result" tabIndex={0} aria-label="Result">
          {JSON.stringify(call.data.answer.result, null, 2) ?? 'nothing'}
        </pre>
      )}
    </form>
  )
}

function Field(props: {
  name: string
  schema: JsonSchema
  isRequired: boolean
  value: FieldValue
  onChange: (value: FieldValue) => void
}) {
  const { name, schema, value, onChange } = props
  const common = {
    label: name,
    required: props.isRequired,
    ...(schema.description !== undefined && { description: schema.description }),
  }
  if (schema.enum) {
    return (
      <NativeSelect
        {...common}
        data={['', ...schema.enum.map(String)]}
        value={String(value ?? '')}
        onChange={(event) => onChange(event.currentTarget.value || undefined)}
      />
    )
  }
  const kind = kindOf(schema) ?? 'any'
  switch (kind) {
    case 'boolean':
      return (
        <Checkbox
          label={name}
          {...(schema.description !== undefined && { description: schema.description })}
          checked={value === true}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      )
    case 'number':
    case 'integer':
      return (
        <NumberInput
          {...common}
          value={typeof value === 'number' ? value : ''}
          onChange={(entered) => onChange(entered === '' ? undefined : Number(entered))}
          allowDecimal={kind === 'number'}
          hideControls
        />
      )
    case 'string':
      return (
        <TextInput
          {...common}
          value={String(value ?? '')}
          onChange={(event) => onChange(event.currentTarget.value || undefined)}
        />
      )
    default:
      return (
        <Textarea
          {...common}
          label={`${name} (JSON)`}
          value={String(value ?? '')}
          onChange={(event) => onChange(event.currentTarget.value || undefined)}
          classNames={{ input: 'mono' }}
          rows={3}
        />
      )
  }
}

/** The first type that is not null; undefined for what has no field of its own. */
function kindOf({ type }: JsonSchema): string | undefined {
  return Array.isArray(type) ? type.find((kind) => kind !== 'null') : type
}

function isJsonField(schema: JsonSchema): boolean {
  return !schema.enum && !['boolean', 'number', 'integer', 'string'].includes(kindOf(schema) ?? '')
}

function defaultsOf(fields: [string, JsonSchema][]): Record<string, FieldValue> {
  return Object.fromEntries(fields.map(([name, schema]) => [name, defaultOf(schema)]))
}

function defaultOf(schema: JsonSchema): FieldValue {
  const value = schema.default
  if (value === undefined) return undefined
  return isJsonField(schema) ? JSON.stringify(value) : (value as FieldValue)
}

/** @throws {Error} a JSON field does not hold JSON */
function paramsOf(fields: [string, JsonSchema][], values: Record<string, FieldValue>): Record<string, unknown> {
  const params: Record<string, unknown> = {}
  for (const [name, schema] of fields) {
    const value = values[name]
    if (value === undefined) continue
    if (schema.enum) params[name] = schema.enum.find((choice) => String(choice) === String(value))
    else if (isJsonField(schema)) params[name] = parsed(name, String(value))
    else params[name] = value
  }
  return params
}

function parsed(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${name} is not JSON: ${messageOf(error)}`, { cause: error })
  }
}
