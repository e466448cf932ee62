import { confirm } from '../confirm.ts'
import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { afterwards } from '../session/afterwards.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { deploymentPath, type DeploymentStatusView, type RolloutView } from '../session/deployments.ts'
import { INTERRUPTED } from '../session/follow-rollout.ts'
import { watchUntil } from '../session/watch-until.ts'

interface ChangeFlags extends ConnectionFlags {
  detach?: boolean
  output: OutputFormat
}

/** `p2p scale SERVICE COUNT` */
export async function scale(
  host: CliHost,
  service: string,
  count: number | 'every',
  flags: ChangeFlags,
): Promise<number> {
  return begin(host, service, { verb: 'scale', body: { count } }, flags)
}

/** `p2p rollback SERVICE [GENERATION]` */
export async function rollback(
  host: CliHost,
  service: string,
  generation: number | undefined,
  flags: ChangeFlags,
): Promise<number> {
  return begin(host, service, { verb: 'rollback', ...(generation !== undefined && { body: { generation } }) }, flags)
}

type ControlFlags = ChangeFlags & { node?: string }

/** `p2p start SERVICE` */
export async function start(host: CliHost, service: string, flags: ControlFlags): Promise<number> {
  if (flags.node !== undefined) return control(host, { service, node: flags.node, action: 'start' }, flags)
  return begin(host, service, { verb: 'start' }, flags)
}

/** `p2p restart SERVICE` */
export async function restart(host: CliHost, service: string, flags: ControlFlags): Promise<number> {
  if (flags.node !== undefined) return control(host, { service, node: flags.node, action: 'restart' }, flags)
  return begin(host, service, { verb: 'restart' }, flags)
}

/**
 * `p2p stop SERVICE`: waits until no instance runs any more.
 * @returns 130 when the person does not wait
 */
export async function stop(host: CliHost, service: string, flags: ControlFlags): Promise<number> {
  if (flags.node !== undefined) return control(host, { service, node: flags.node, action: 'stop' }, flags)
  const session = await connect(host, flags)
  let status = await session.call<DeploymentStatusView>({ method: 'POST', path: deploymentPath(service, '/stop') })
  const undo = `"p2p start ${service}" runs it again`
  if (flags.detach) host.talk.write(`Stopping: ${service}, everywhere. ${undo}\n`)
  else {
    const interruption = host.interruption()
    const { signal } = interruption
    try {
      const isEnough = ({ running }: DeploymentStatusView): boolean => running === 0
      status = await watchUntil(session, deploymentPath(service), { signal, isEnough })
    } catch (error) {
      if (!signal.aborted) throw error
      host.talk.write(`It goes on without this command. To look again: p2p services ${service}\n`)
      return INTERRUPTED
    } finally {
      interruption.dispose()
    }
    host.talk.write(`Stopped: ${service}, everywhere. ${undo}\n`)
  }
  await show(host, flags.output, status, () => '')
  return 0
}

/** `p2p remove SERVICE` */
export async function remove(
  host: CliHost,
  service: string,
  flags: ConnectionFlags & { yes?: boolean },
): Promise<void> {
  if (!flags.yes) await confirm(host, `${service} ends everywhere, and its history is forgotten. Go on?`, '--yes')
  const session = await connect(host, flags)
  await session.call({ method: 'DELETE', path: deploymentPath(service) })
  host.talk.write(`Removed: ${service}\n`)
}

async function begin(
  host: CliHost,
  service: string,
  { verb, body }: { verb: string; body?: object },
  flags: ChangeFlags,
): Promise<number> {
  const session = await connect(host, flags)
  const path = deploymentPath(service, `/${verb}`)
  const rollout = await session.call<RolloutView>({ method: 'POST', path, ...(body && { body }) })
  return afterwards(host, session, rollout, flags)
}

const DONE = { start: 'Started', stop: 'Stopped', restart: 'Restarted' } as const
/** A service may take a minute to stop and start; the node gives up first. */
const CONTROL_TIMEOUT_MS = 70_000

/** On one node: also a service that was not deployed but lies in a folder there. */
async function control(
  host: CliHost,
  { service, node, action }: { service: string; node: string; action: keyof typeof DONE },
  flags: ChangeFlags,
): Promise<number> {
  const session = await connect(host, flags)
  const answer = await session.call<object>({
    method: 'POST',
    path: '/api/dashboard/control-service',
    body: { worker_id: node, service_name: service, action },
    timeoutMs: CONTROL_TIMEOUT_MS,
  })
  host.talk.write(`${DONE[action]}: ${plain(service)} on ${plain(node)}\n`)
  await show(host, flags.output, answer, () => '')
  return 0
}
