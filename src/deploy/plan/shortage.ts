import type { NodeId } from '../../base/identity.ts'
import type { Deployment } from '../../base/deployment.ts'
import type { NodeRoom } from './node-room.ts'
import { isPresent } from './plan-node.ts'

/** Nodes named in one sentence. */
const NAMES_MAX = 3

export interface ShortageInput {
  deployment: Deployment
  rooms: readonly NodeRoom[]
  /** What was placed. */
  counts: ReadonlyMap<NodeId, number>
  perNodeMax: number
  wanted: number
  missing: number
}

/** Why not all instances have a place, sentence by sentence: which nodes are out for which cause, and what would help. */
export function shortage({ deployment, rooms, counts, perNodeMax, wanted, missing }: ShortageInput): string[] {
  const { placement, reserve, service } = deployment
  if (rooms.length === 0) return [`${service} has no place: the cluster has no node. Join one.`]
  const away: NodeRoom[] = []
  const suspected: NodeRoom[] = []
  const draining: NodeRoom[] = []
  const full: NodeRoom[] = []
  const small: NodeRoom[] = []
  const unlabelled = new Map<string, NodeRoom[]>()
  for (const room of rooms) {
    const lacking = room.missingLabels(placement.labels).join(', ')
    if (lacking !== '') unlabelled.set(lacking, [...(unlabelled.get(lacking) ?? []), room])
    else if (!isPresent(room.node)) away.push(room)
    else if (room.node.isDraining) draining.push(room)
    else if (room.node.status === 'suspect') suspected.push(room)
    else if ((counts.get(room.node.nodeId) ?? 0) >= perNodeMax) full.push(room)
    else if (!room.fits(reserve)) small.push(room)
  }
  const causes = [
    wanted === 0
      ? `${service} is to run on every node that fits, and none does.`
      : `${missing} of ${wanted} ${wanted === 1 ? 'instance' : 'instances'} of ${service} ${missing === 1 ? 'has' : 'have'} no place.`,
  ]
  for (const [labels, without] of unlabelled) {
    causes.push(
      `${names(without)} ${without.length === 1 ? 'has' : 'have'} no label ${labels}: set it in the configuration of a node that suits, or ask for other labels.`,
    )
  }
  for (const room of small.slice(0, NAMES_MAX)) {
    causes.push(`${room.node.nodeId} lacks ${room.lack(reserve).join(' and ')}.`)
  }
  if (small.length > NAMES_MAX) causes.push(`${small.length - NAMES_MAX} more nodes are too full.`)
  if (small.length > 0) causes.push('Add a node, stop something, or lower `reserve`.')
  if (full.length > 0 && deployment.count !== 'every') {
    const why = deployment.job ? 'A job runs once on a node' : `At most ${perNodeMax} on a node is allowed (perNodeMax)`
    causes.push(`${why}, and ${names(full)} ${full.length === 1 ? 'has that' : 'have that'}: raise it, or add a node.`)
  }
  if (draining.length > 0)
    causes.push(`${names(draining)} ${are(draining)} being drained: p2p undrain ${first(draining)}.`)
  if (suspected.length > 0) causes.push(`${names(suspected)} ${are(suspected)} not answering at the moment.`)
  if (away.length > 0) causes.push(`${names(away)} ${are(away)} away: start it again.`)
  return causes
}

function names(rooms: readonly NodeRoom[]): string {
  const listed = rooms.slice(0, NAMES_MAX).map(({ node }) => node.nodeId)
  const more = rooms.length - listed.length
  return more > 0 ? `${listed.join(', ')} and ${more} more` : listed.join(' and ').replace(/ and (?=.* and )/g, ', ')
}

function are(rooms: readonly NodeRoom[]): string {
  return rooms.length === 1 ? 'is' : 'are'
}

function first(rooms: readonly NodeRoom[]): string {
  return (rooms[0] as NodeRoom).node.nodeId
}
