import { describeKeys, loadConfig } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { facts, type OutputFormat, show, showRows } from '../output/show.ts'

/** `p2p config check FILE`: what a node would run with; mistakes are thrown. */
export async function checkConfig(host: CliHost, file: string, { output }: { output: OutputFormat }): Promise<void> {
  const config = loadConfig({ file, environment: host.environment, workingDirectory: host.workingDirectory })
  // The URL may hold a password, and this is shown on screens.
  const shown = { ...config, redisUrl: config.redisUrl && withoutPassword(config.redisUrl) }
  await show(host, output, shown, () =>
    facts(
      host,
      Object.entries(shown).map(([name, value]) => [name, textOf(value)]),
    ),
  )
  host.talk.write(`${file}: no mistakes\n`)
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.join(', ')
  if (typeof value !== 'object' || value === null) return String(value as number | boolean)
  return Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .map(
      ([name, part]) => `${name} ${typeof part === 'object' ? Object.values(part as object).join('/') : String(part)}`,
    )
    .join(', ')
}

function withoutPassword(text: string): string {
  const url = new URL(text)
  if (url.password) url.password = '…'
  return decodeURI(url.href)
}

/** `p2p config keys`: the reference of the YAML file. */
export async function listKeys(host: CliHost, { output }: { output: OutputFormat }): Promise<void> {
  await showRows(
    host,
    output,
    describeKeys(),
    [
      { title: 'KEY', value: (row) => row.key, style: () => 'cyan' },
      { title: 'DEFAULT', value: (row) => row.default },
      { title: 'WHAT IT DOES', value: (row) => row.description },
    ],
    '',
  )
}
