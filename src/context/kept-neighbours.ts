import type { Component } from '../base/component.ts'
import { type ControlStore, getJson, jsonValue, put } from '../base/control-store.ts'
import type { Logger } from '../base/log.ts'
import type { Member, Membership } from '../base/member.ts'
import type { Peers, PeerTarget } from '../base/peer.ts'

const KEY = 'cluster/neighbours'
/** One that answers is enough, and some are down when many restart at once. */
const KEPT_MAX = 16

export interface NeighbourNeeds {
  store: ControlStore
  membership: Membership
  peers: Pick<Peers, 'open'>
  log: Logger
}

type Neighbour = Required<PeerTarget>

/**
 * Keeps where some other members are, and dials them at the next start: a node that starts again while no coordinator is
 * there finds the cluster at once, instead of waiting until the cluster looks for it.
 */
export function keepNeighbours({ store, membership, peers, log }: NeighbourNeeds): Component {
  const ended = new AbortController()
  const self = membership.self().record.nodeId
  let unlisten: (() => void) | undefined
  let kept: readonly Neighbour[] = []
  let writing: Promise<void> | undefined
  let dialling: Promise<unknown> | undefined

  /** One write at a time; what changes meanwhile is written together afterwards. */
  async function write(): Promise<void> {
    for (;;) {
      const next = neighbours(membership.members(), self, kept)
      if (JSON.stringify(next) === JSON.stringify(kept)) return
      await put(store, KEY, jsonValue(next))
      kept = next
    }
  }

  function keep(): void {
    writing ??= write()
      .catch((error: unknown) => log.warning('The addresses of other members could not be kept.', { error }))
      .finally(() => {
        writing = undefined
      })
  }

  return {
    name: 'kept neighbours',
    async start() {
      kept = (await getJson<Neighbour[]>(store, KEY)) ?? []
      // Whoever does not answer is no news: the coordinators are dialled for as long as it takes, and the others dial too.
      dialling = Promise.allSettled(kept.map((neighbour) => peers.open(neighbour, ended.signal)))
      unlisten = membership.onChange(keep)
    },
    async stop() {
      unlisten?.()
      ended.abort(new Error('This node stops.'))
      await Promise.all([dialling, writing])
    },
  }
}

/** Those kept already stay while they live: in a large cluster few changes touch any of them. */
function neighbours(members: readonly Member[], self: string, kept: readonly Neighbour[]): Neighbour[] {
  const living = members.filter(({ record, status }) => status === 'alive' && record.nodeId !== self)
  // The last ones seen are the ones to try when none is left.
  if (living.length === 0) return [...kept]
  const wasKept = new Set(kept.map(({ nodeId }) => nodeId))
  const isKept = ({ record }: Member): number => (wasKept.has(record.nodeId) ? 0 : 1)
  return living
    .sort((a, b) => isKept(a) - isKept(b))
    .slice(0, KEPT_MAX)
    .map(({ record: { nodeId, addresses } }) => ({ nodeId, addresses }))
}
