import { compare, lt } from 'semver'
import type { Member } from '../../base/member.ts'
import type { NodeId } from '../../base/identity.ts'
import type { DeployPlan } from '../../base/deployment.ts'
import { upgradeWaves } from './step-upgrade.ts'

/** The built-in service by which a node lets its program be changed. */
export const PROGRAM_SERVICE = 'program'

export interface UpgradeRequest {
  version: string
  /** Undefined: all nodes that are there. */
  nodes?: readonly NodeId[] | undefined
  /** Workers at a time. */
  batch: number
  /** Also to an older version, and where it runs already. */
  force: boolean
}

/** What an upgrade would do; made before it, with nothing changed. */
export interface UpgradePlan {
  fromVersion: string
  toVersion: string
  waves: NodeId[][]
  /** Not changed, and why. */
  leftOut: { nodeId: NodeId; why: string }[]
  /** Empty: it would be done. */
  refusals: DeployPlan['refusals']
}

/** What a request would change, and what speaks against it. Changes nothing. */
export function prepareUpgrade(request: UpgradeRequest, members: readonly Member[], leader: NodeId): UpgradePlan {
  const { version, nodes, batch, force } = request
  const refusals: UpgradePlan['refusals'] = []
  const leftOut: UpgradePlan['leftOut'] = []
  const refuse = (message: string): void => void refusals.push({ code: 'P2P_DEPLOY_REFUSED', message })

  for (const id of nodes ?? []) {
    if (!members.some(({ record }) => record.nodeId === id)) refuse(`there is no node ${id}`)
  }
  const asked = members.filter(({ record, status }) => {
    if (nodes && !nodes.includes(record.nodeId)) return false
    const why = reasonToLeaveOut(record, status)
    if (why === undefined) return true
    if (nodes) refuse(`node ${record.nodeId} ${why}`)
    else leftOut.push({ nodeId: record.nodeId, why })
    return false
  })
  const targets = asked.filter(({ record }) => {
    if (force || record.softwareVersion !== version) return true
    leftOut.push({ nodeId: record.nodeId, why: `runs ${version} already` })
    return false
  })
  for (const { record } of force ? [] : targets) {
    if (!lt(version, record.softwareVersion)) continue
    refuse(`node ${record.nodeId} runs ${record.softwareVersion}, and ${version} is older: --force goes back to it`)
  }
  if (targets.length === 0 && refusals.length === 0) refuse(`no node is left to upgrade to ${version}`)
  const versions = targets.map(({ record }) => record.softwareVersion).sort(compare)
  const records = targets.map(({ record }) => record)
  const waves = upgradeWaves(records, { batch, leader })
  return { fromVersion: versions[0] ?? version, toVersion: version, waves, leftOut, refusals }
}

function reasonToLeaveOut(record: Member['record'], status: Member['status']): string | undefined {
  if (status !== 'alive') return `is ${status}: it is upgraded when it is back, by the same command`
  if (record.services.some(({ name }) => name === PROGRAM_SERVICE)) return undefined
  return `runs ${record.softwareVersion}, which cannot be upgraded so: install the new version there by hand`
}
