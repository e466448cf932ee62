import { RpcError } from '../../base/errors.ts'

/** What can stand in the arguments and environment of a program. */
export interface Placeholders {
  /** `{port}` where there is one port, `{port:name}`. */
  ports: Readonly<Record<string, number>>
  /** `{folder}`: the service's own. */
  folder: string
  /** `{data}`: the directory it may write to. */
  data: string
  /** `{instance}`: the number of the instance. */
  instance: string
  /** `{config:name}` */
  config: Readonly<Record<string, unknown>>
  /** `{secret:name}` */
  secrets: Readonly<Record<string, string>>
  /** `{file:name}`: the path of a file of `exec.files`. */
  files: Readonly<Record<string, string>>
}

/** Other braces are the program's own. */
const PLACEHOLDER = /\{(port|folder|data|instance|config|secret|file)(?::([\w.-]+))?\}/g

/**
 * Puts the values in.
 * @param where for the message, as `exec.args.0`
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED: there is no such value
 */
export function filledIn(text: string, values: Placeholders, where: string): string {
  return text.replace(PLACEHOLDER, (whole, kind: string, name: string | undefined) => {
    const value = valueOf(kind, name, values)
    if (value === undefined)
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', `${where}: there is no ${whole.slice(1, -1)}`)
    return value
  })
}

function valueOf(kind: string, name: string | undefined, values: Placeholders): string | undefined {
  switch (kind) {
    case 'port':
      return portOf(values.ports, name)
    case 'config': {
      const value = name === undefined ? undefined : values.config[name]
      return typeof value === 'string' || value === undefined ? value : JSON.stringify(value)
    }
    case 'secret':
      return name === undefined ? undefined : values.secrets[name]
    case 'file':
      return name === undefined ? undefined : values.files[name]
    case 'folder':
      return values.folder
    case 'data':
      return values.data
    default:
      return values.instance
  }
}

/** @returns the only port when none is named */
export function portOf(ports: Readonly<Record<string, number>>, name: string | undefined): string | undefined {
  const all = Object.values(ports)
  const port = name === undefined ? (all.length === 1 ? all[0] : undefined) : ports[name]
  return port === undefined ? undefined : String(port)
}
