import { ConfigError } from '../../base/errors.ts'
import { loadConfig, type NodeConfig } from '../../config/index.ts'
import { checkSecrets, checkServices, checkStateDirectory } from '../doctor/file-checks.ts'
import { type Finding, ok, problem } from '../doctor/finding.ts'
import { checkLogin } from '../doctor/login-check.ts'
import { checkEnvironment, checkNodeVersion } from '../doctor/machine-checks.ts'
import { checkCoordinators, checkPorts } from '../doctor/network-checks.ts'
import { checkRedis } from '../doctor/redis-check.ts'
import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { type Format, styler } from '../output/style.ts'

/** Every environment variable the program reads. */
const VARIABLES = [
  'P2P_PASSWORD',
  'P2P_RECOVERY_KEY',
  'P2P_JOIN_TOKEN',
  'P2P_REDIS_URL',
  'P2P_OTLP_HEADERS',
  'P2P_URL',
  'P2P_NEW_PASSWORD',
  'P2P_ARCHIVE_PASSWORD',
]

/** `p2p doctor`. @returns 1 when there is a problem */
export async function doctor(host: CliHost, flags: { config?: string; output: OutputFormat }): Promise<number> {
  const findings = [
    checkNodeVersion(process.versions.node),
    checkEnvironment(host.environment, VARIABLES),
    ...(flags.config === undefined ? [] : await checkConfiguration(host, flags.config)),
    ...(await checkLogin(host)),
  ]
  await show(host, flags.output, findings, () => report(host, findings))
  const problems = findings.filter((finding) => finding.result === 'problem').length
  if (flags.config === undefined) host.talk.write('For the settings of a node: p2p doctor --config FILE\n')
  return problems === 0 ? 0 : 1
}

async function checkConfiguration(host: CliHost, file: string): Promise<Finding[]> {
  let config: NodeConfig
  try {
    config = loadConfig({ file, environment: host.environment, workingDirectory: host.workingDirectory })
  } catch (error) {
    if (error instanceof ConfigError)
      return [problem('Configuration', error.message, 'correct the file; "p2p config keys" lists what it may have')]
    throw error
  }
  const checked = await Promise.all([
    checkStateDirectory(config),
    checkSecrets(config, host.platform),
    checkServices(config),
    checkPorts(config),
    checkCoordinators(config, () => host.wallMs()),
    checkRedis(config.redisUrl),
  ])
  return [ok('Configuration', `${file}: ${config.role} ${config.nodeId}`), ...checked.flat()]
}

const MARKS: Readonly<Record<Finding['result'], readonly [mark: string, format: Format]>> = {
  ok: ['ok', 'green'],
  warning: ['warning', 'yellow'],
  problem: ['PROBLEM', 'red'],
  skipped: ['-', 'dim'],
}

function report(host: CliHost, findings: readonly Finding[]): string {
  const style = styler(host.output, host.environment)
  return findings
    .map(({ check, result, detail, remedy }) => {
      const [mark, format] = MARKS[result]
      const indent = `\n${' '.repeat(27)}`
      const more = remedy === undefined ? '' : `${indent}${style('bold', 'Remedy:')} ${remedy}`
      return `${style(format, mark.padEnd(9))}${check.padEnd(18)}${detail.replaceAll('\n', indent)}${more}\n`
    })
    .join('')
}
