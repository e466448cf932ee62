import { messageOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { plain } from '../output/style.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import type { DeploymentStatusView } from '../session/deployments.ts'
import { INTERRUPTED } from '../session/follow-rollout.ts'
import { watchUntil } from '../session/watch-until.ts'

/**
 * `p2p drain NODE`: waits until nothing that was deployed runs there any more.
 * @returns 130 when the person does not wait
 */
export async function drain(
  host: CliHost,
  node: string,
  flags: ConnectionFlags & { detach?: boolean },
): Promise<number> {
  const session = await connect(host, flags)
  await session.call({ method: 'POST', path: nodePath(node, 'drain') })
  const undo = `"p2p undrain ${plain(node)}" lets services be placed there again`
  if (flags.detach) {
    host.talk.write(`Draining: ${plain(node)}. ${undo}\n`)
    return 0
  }
  const interruption = host.interruption()
  try {
    await untilEmpty(host, session, { node, signal: interruption.signal })
  } catch (error) {
    if (!interruption.signal.aborted) throw error
    host.talk.write(`It goes on without this command (${messageOf(error)}). To look again: p2p services\n`)
    return INTERRUPTED
  } finally {
    interruption.dispose()
  }
  host.talk.write(`Drained: ${plain(node)} can be switched off. ${undo}\n`)
  return 0
}

/** `p2p undrain NODE` */
export async function undrain(host: CliHost, node: string, flags: ConnectionFlags): Promise<void> {
  const session = await connect(host, flags)
  await session.call({ method: 'POST', path: nodePath(node, 'undrain') })
  host.talk.write(`Services may be placed on ${plain(node)} again\n`)
}

function nodePath(node: string, verb: 'drain' | 'undrain'): string {
  return `/api/nodes/${encodeURIComponent(node)}/${verb}`
}

async function untilEmpty(
  host: CliHost,
  session: Session,
  { node, signal }: { node: string; signal: AbortSignal },
): Promise<void> {
  let told = ''
  await watchUntil<{ deployments: DeploymentStatusView[] }>(session, '/api/deployments', {
    signal,
    isEnough({ deployments }) {
      const left = deployments.filter(({ instances }) => instances.some((instance) => instance.node_id === node))
      const text = left
        .map(({ deployment, problems }) => {
          const why = problems.length === 0 ? '' : ` (${problems.map(plain).join(' ')})`
          return `${plain(deployment.service)}${why}`
        })
        .join(', ')
      if (text !== told && left.length > 0) host.talk.write(`Still there: ${text}\n`)
      told = text
      return left.length === 0
    },
  })
}
