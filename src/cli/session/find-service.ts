import { CliError, codeOf } from '../../base/errors.ts'
import { closest, formatAddress } from '../../config/index.ts'
import { findDeployment } from './all-services.ts'
import type { Session } from './connect.ts'
import type { ClusterNode, ClusterNodes, ServiceDetails } from './wire.ts'

/**
 * One service with its methods: as the node asked has it, else from one that has it.
 * @param target node to prefer then
 * @throws {CliError} P2P_CLI_USAGE: no node has a service of that name
 */
export async function findService(session: Session, name: string, target?: string): Promise<ServiceDetails> {
  const path = `/services/${encodeURIComponent(name)}`
  try {
    return await session.call<ServiceDetails>({ method: 'GET', path })
  } catch (error) {
    if (codeOf(error) !== 'P2P_SERVICE_NOT_FOUND') throw error
  }
  const { nodes } = await session.call<ClusterNodes>({ method: 'GET', path: '/cluster/nodes' })
  const owners = nodes.filter((node) => node.status === 'alive' && Object.hasOwn(node.services, name))
  const owner = owners.find((node) => node.node_id === target) ?? owners[0]
  if (!owner) throw await runsNowhere(session, name, nodes)
  return session.at(`https://${formatAddress(owner.address, owner.port)}`).call<ServiceDetails>({ method: 'GET', path })
}

async function runsNowhere(session: Session, name: string, nodes: readonly ClusterNode[]): Promise<CliError> {
  const deployed = await findDeployment(session, name)
  if (deployed) {
    const why = deployed.deployment.is_stopped ? `it is stopped; p2p start ${name}` : `p2p why ${name} tells why`
    return new CliError('P2P_CLI_USAGE', `Service "${name}" runs on no node: ${why}`)
  }
  const known = new Set(nodes.flatMap((node) => Object.keys(node.services)))
  const suggestion = closest(name, known)
  const more = suggestion === undefined ? '"p2p services" lists what there is' : `did you mean ${suggestion}?`
  return new CliError('P2P_CLI_USAGE', `No node has a service "${name}"; ${more}`)
}
