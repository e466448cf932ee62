/** 1 to 63 characters: lower and upper case letters, digits, `-`, `_` and `.`, beginning with a letter or digit. */
export type NodeId = string

export const ROLES = ['coordinator', 'worker'] as const
export type NodeRole = (typeof ROLES)[number]

const NODE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

export function isNodeId(value: string): boolean {
  return NODE_ID.test(value)
}

/** Who a peer is, as its verified certificate says. */
export interface NodeIdentity {
  /** Name of the trust domain: the cluster's id. */
  cluster: string
  role: NodeRole
  nodeId: NodeId
}

/** `spiffe://<cluster>/node/<role>/<node_id>`, the one URI SAN of a node certificate (SPIFFE-ID section 2). */
export function formatSpiffeId(identity: NodeIdentity): string {
  return `spiffe://${identity.cluster}/node/${identity.role}/${identity.nodeId}`
}

/** @returns undefined when `uri` is not a node identity of the form above */
export function parseSpiffeId(uri: string): NodeIdentity | undefined {
  const match = /^spiffe:\/\/([a-z0-9._-]{1,63})\/node\/(coordinator|worker)\/([^/]+)$/.exec(uri)
  if (!match || !isNodeId(match[3] as string)) return undefined
  return { cluster: match[1] as string, role: match[2] as NodeRole, nodeId: match[3] as string }
}

/** What a caller may do; `node` and `coordinator` are machines, the others people. */
export const ACCESS_ROLES = ['viewer', 'operator', 'admin', 'node', 'coordinator'] as const
export type AccessRole = (typeof ACCESS_ROLES)[number]

/** The verified caller of a request: a node by its certificate, or a person by a token. */
export type Principal =
  | { kind: 'anonymous' }
  | { kind: 'node'; nodeId: NodeId; role: NodeRole; service?: string }
  | { kind: 'person'; name: string; role: 'viewer' | 'operator' | 'admin' }

export const ANONYMOUS: Principal = { kind: 'anonymous' }

/** `node:worker-1`, `person:admin` or `anonymous`: for logs, limits and audit. */
export function principalLabel(principal: Principal): string {
  switch (principal.kind) {
    case 'anonymous':
      return 'anonymous'
    case 'node':
      return principal.service ? `node:${principal.nodeId}/${principal.service}` : `node:${principal.nodeId}`
    case 'person':
      return `person:${principal.name}`
  }
}
