import type { ChangeEvent } from '../../base/control-store.ts'
import { person } from './deployment-happenings.ts'
import type { EventRecorder } from './event-store.ts'

/** Where the coordinator keeps the latest change of the nodes' own program. */
export const UPGRADE_KEY = 'upgrade/latest'

/** What is read of it. */
interface StoredUpgrade {
  number: number
  version: string
  fromVersion: string
  nodes: { nodeId: string; state: string; reason?: string }[]
  state: 'running' | 'succeeded' | 'failed'
  reason?: string
  by: string
}

const decoder = new TextDecoder()

/** Tells that the nodes' own program is changed, how that ended, and which nodes went back to the one before. */
export function tellUpgrade(recorder: EventRecorder, change: ChangeEvent, nowMs: number): void {
  if (change.type !== 'put') return
  const upgrade = JSON.parse(decoder.decode(change.entry.value)) as StoredUpgrade
  const { number, version, fromVersion, nodes, state, reason, by } = upgrade
  const about = { timeMs: nowMs, kind: 'deploy' } as const
  for (const { nodeId, state: ofNode, reason: why } of nodes) {
    if (ofNode !== 'failed' && ofNode !== 'returned') continue
    const title =
      ofNode === 'returned'
        ? `${nodeId} went back from P2P Core ${version} to the version before`
        : `${nodeId} could not change to P2P Core ${version}`
    recorder.observe(`upgrade/${number}/${nodeId}`, ofNode, () => ({
      ...about,
      severity: 'error',
      title,
      detail: why,
      nodeId,
    }))
  }
  recorder.observe('upgrade', `${number} ${state}`, () => {
    if (state === 'running') {
      const title = `${person(by)} began to change the nodes to P2P Core ${version}`
      return { ...about, severity: 'info', title, detail: `${nodes.length} nodes, from ${fromVersion}.` }
    }
    if (state === 'failed') {
      return { ...about, severity: 'error', title: `The change to P2P Core ${version} failed`, detail: reason }
    }
    const detail = `${nodes.length} nodes changed from ${fromVersion}.`
    return { ...about, severity: 'info', title: `All nodes run P2P Core ${version}`, detail }
  })
}
