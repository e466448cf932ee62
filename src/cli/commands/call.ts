import { CliError } from '../../base/errors.ts'
import { closest, parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { styler } from '../output/style.ts'
import { methodHelp } from '../params/method-help.ts'
import { paramsFrom } from '../params/params-from.ts'
import { callMethod, TIMEOUT_MS_MAX } from '../session/call-method.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import { findService } from '../session/find-service.ts'
import type { MethodView } from '../session/wire.ts'

interface CallFlags extends ConnectionFlags {
  param?: string[]
  params?: string
  node?: string
  timeout?: string
  help?: boolean
  output: OutputFormat
}

/** `p2p call SERVICE/METHOD` */
export async function call(host: CliHost, name: string, flags: CallFlags): Promise<void> {
  const [service, method, ...rest] = name.split('/')
  if (!service || !method || rest.length > 0) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `"${name}" is not a method; write SERVICE/METHOD, for instance system/get_system_info`,
    )
  }
  if (flags.param && flags.params !== undefined) {
    throw new CliError('P2P_CLI_USAGE', '--param and --params exclude each other; give one of them')
  }
  const timeoutMs = timeoutOf(flags.timeout)
  const session = await connect(host, flags)
  if (flags.help) {
    host.output.write(
      methodHelp(service, await describe(session, service, method, flags.node), styler(host.output, host.environment)),
    )
    return
  }
  const params = flags.param
    ? paramsFrom(name, await describe(session, service, method, flags.node), flags.param)
    : parseParams(flags.params)
  const write = await itemWriter(host, flags.output)
  const result = await callMethod(session, { method: name, params, node: flags.node, timeoutMs }, write)
  // What streams has been shown item by item.
  if (result === undefined) return
  // A result is data of any shape: as a table it would only be rearranged JSON.
  await show(host, flags.output === 'table' ? 'json' : flags.output, result, () => '')
}

/** Writes each item as it comes: a line of JSON, or a document of YAML. */
async function itemWriter(host: CliHost, format: OutputFormat): Promise<(item: unknown) => void> {
  if (format !== 'yaml') return (item) => void host.output.write(`${JSON.stringify(item)}\n`)
  const { stringify } = await import('yaml')
  return (item) => void host.output.write(`---\n${stringify(item)}`)
}

function timeoutOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const timeoutMs = parseDuration(text)
  if (timeoutMs !== undefined && timeoutMs >= 1_000 && timeoutMs <= TIMEOUT_MS_MAX) return timeoutMs
  throw new CliError('P2P_CLI_USAGE', `--timeout "${text}" is not a duration from 1s to 10m`)
}

function parseParams(text: string | undefined): unknown {
  if (text === undefined) return undefined
  let params: unknown
  try {
    params = JSON.parse(text)
  } catch (error) {
    throw new CliError('P2P_CLI_USAGE', `--params is not JSON: ${(error as Error).message}`)
  }
  if (typeof params === 'object' && params !== null) return params
  throw new CliError('P2P_CLI_USAGE', '--params must be a JSON object or array')
}

async function describe(
  session: Session,
  service: string,
  method: string,
  node: string | undefined,
): Promise<MethodView> {
  const { method_details: methods } = await findService(session, service, node)
  const found = methods.find((candidate) => candidate.name === method)
  if (found) return found
  const names = methods.map((candidate) => candidate.name)
  const suggestion = closest(method, names)
  const more = suggestion === undefined ? `it has ${names.join(', ') || 'none'}` : `did you mean ${suggestion}?`
  throw new CliError('P2P_CLI_USAGE', `Service ${service} has no method "${method}"; ${more}`)
}
