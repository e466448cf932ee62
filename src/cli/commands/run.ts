import { isAbsolute, join } from 'node:path'
import { CliError } from '../../base/errors.ts'
import { loadConfig, secretsFrom } from '../../config/index.ts'
import type { NodeEvent } from '../../context/index.ts'
import type { CliHost } from '../host.ts'
import { styler } from '../output/style.ts'
import { chooseUnlock, type UnlockFlags, warnOfArgument } from '../unlock.ts'

interface RunFlags extends UnlockFlags {
  config?: string
  coord?: string
  join?: string
  nodeId?: string
  port?: string
  address?: string
  advertiseAddress?: string
  storage?: string
  redisUrl?: string
  verbose?: boolean
}

/** `p2p --config FILE`: runs a node until it is told to stop. */
export async function run(host: CliHost, flags: RunFlags): Promise<number> {
  if (flags.config === undefined) {
    throw new CliError(
      'P2P_CLI_USAGE',
      'Nothing to do: give a command (p2p --help lists them), or --config FILE to run a node. To try things out: p2p local',
    )
  }
  const config = loadConfig({
    file: flags.config,
    environment: host.environment,
    workingDirectory: host.workingDirectory,
    storagePath: flags.storage,
    isVerbose: flags.verbose === true,
    flags: {
      node_id: flags.nodeId,
      port: flags.port === undefined ? undefined : numberOrText(flags.port),
      bind_address: flags.address,
      advertise_address: flags.advertiseAddress,
      coordinator_addresses: flags.coord?.split(',').map((address) => address.trim()),
      redis_url: flags.redisUrl,
    },
  })
  if (flags.join !== undefined) warnOfArgument(host, '--join', 'P2P_JOIN_TOKEN; the token is good for one use only')
  if (flags.redisUrl?.includes('@')) warnOfArgument(host, '--redis-url', 'P2P_REDIS_URL')
  const context = await host.loadContext()
  // Before anything is asked for: the other program asks by itself.
  const why = context.becomeChosenProgram(config.stateDirectory)
  if (why !== undefined) host.talk.write(`${why}\n`)
  const unlock = await chooseUnlock(host, flags, config.storagePath)
  const interruption = host.interruption()
  try {
    return await context.runNode({
      config,
      unlock,
      joinToken: flags.join ?? secretsFrom(host.environment).joinToken,
      otlpHeaders: secretsFrom(host.environment).otlpHeaders,
      cannotRestart: reasonAgainstRestart(flags),
      signal: interruption.signal,
      // A parent shows events in its own way, and our output is its log file: no recovery key may end there.
      onEvent: host.sendToParent ?? ((event) => announce(host, event)),
    })
  } finally {
    interruption.dispose()
  }
}

/** A person would have to be there again. */
function reasonAgainstRestart({ passwordFd, manualPassword }: RunFlags): string | undefined {
  if (passwordFd === undefined && !manualPassword) return undefined
  const flag = manualPassword ? '--manual-password' : '--password-fd'
  return `${flag} gave the password of its vault once only; start it with P2P_PASSWORD or the plot, or install the new version with npm`
}

/** What is no number goes on as it is, so that the complaint can show it. */
function numberOrText(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text
}

/** Says to the person what the log does not, or must not, say. */
function announce(host: CliHost, event: NodeEvent): void {
  const style = styler(host.talk, host.environment)
  const say = (text: string): void => void host.talk.write(`${text}\n`)
  switch (event.type) {
    case 'progress':
      return say(
        style('dim', event.fraction === undefined ? event.text : `${event.text} ${Math.round(event.fraction * 100)} %`),
      )
    case 'vault-created':
      return say(
        `${style('yellow', 'Recovery key, shown this once. Keep it somewhere safe, not on this machine:')}\n  ${event.recoveryKey}`,
      )
    case 'ca-created':
      return say(`Made the certificate authority. Fingerprint: ${event.fingerprint}`)
    case 'pending':
      return say(
        `${style('yellow', 'Waiting for approval.')} Fingerprint of this node's key: ${event.fingerprint}\n` +
          `  On the coordinator: p2p nodes approve ${event.nodeId} --fingerprint ${event.fingerprint.slice(0, 16)}`,
      )
    case 'unreachable':
      return say(
        style('yellow', `Cannot reach the coordinator at ${event.addresses.join(', ')} (${event.reason}); trying on`),
      )
    case 'joined':
      return say(`Joined the cluster: ${event.met} answers`)
    case 'ready':
      return say(readyText(host, event, style('green', 'Ready:')))
    case 'stopping':
      return say(`Stopping: ${event.reason}`)
  }
}

function readyText(host: CliHost, event: Extract<NodeEvent, { type: 'ready' }>, ready: string): string {
  const line = `${ready} ${event.role} ${event.nodeId} of cluster ${event.cluster} at ${event.url}`
  if (event.operatorFile === undefined) return line
  const path = isAbsolute(event.operatorFile) ? event.operatorFile : join(host.workingDirectory, event.operatorFile)
  return `${line}\n  To use it, in another terminal: p2p login --credential-file ${path}\n  In a browser: p2p login --link\n  To let a worker in: p2p token create`
}
