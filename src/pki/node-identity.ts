import type { Component } from '../base/component.ts'
import { CHALLENGE_PORT } from './challenge.ts'
import { type ListenChallenge, listenChallenge } from './challenge-server.ts'
import type { EnrolmentDial } from './coordinator-session.ts'
import { EnrolmentClient } from './enrolment-client.ts'
import type { HostJoinSecret } from './host-join-secret.ts'
import { parseJoinToken } from './join-token.ts'
import {
  type ManagedIdentity,
  type ManagedIdentityNeeds,
  type ManagedIdentityOptions,
  RenewedIdentity,
} from './managed-identity.ts'

export interface NodeIdentityNeeds extends ManagedIdentityNeeds {
  dial: EnrolmentDial
  /** Default: a plain HTTP server. */
  listenChallenge?: ListenChallenge
}

export interface NodeIdentityOptions extends ManagedIdentityOptions {
  /** `host:port` of one or more coordinators, tried in this order. */
  coordinatorAddresses: readonly string[]
  join?: {
    /** As copied: `P2P1-…`. */
    token?: string
  }
  /** 32 bytes derived from this node's plot; used when the coordinator proves to have the same plot. */
  plotJoinKey?: Uint8Array
  /** Reads the join secret a coordinator of the same user left on this host; asked at each attempt. */
  hostJoinSecret?: () => Promise<HostJoinSecret | undefined>
  /** Where the coordinator's challenge is answered while joining. Default 8802; any free port when that one is taken. */
  challengePort?: number
  /** Default: all addresses. */
  challengeAddress?: string
}

/**
 * A node's identity, obtained from a coordinator over the network by the first of: join token, shared
 * plot, this host's join secret, a person's approval.
 * @throws {PkiError} P2P_PKI_TOKEN_INVALID when the token is not of its form
 */
export function createNodeIdentity(
  needs: NodeIdentityNeeds,
  options: NodeIdentityOptions,
): ManagedIdentity & Component {
  const token = options.join?.token
  const source = new EnrolmentClient(
    { ...needs, listenChallenge: needs.listenChallenge ?? listenChallenge },
    {
      nodeId: options.nodeId,
      role: options.role,
      coordinatorAddresses: options.coordinatorAddresses,
      token: token === undefined ? undefined : parseJoinToken(token),
      plotJoinKey: options.plotJoinKey,
      hostJoinSecret: options.hostJoinSecret,
      challengePort: options.challengePort ?? CHALLENGE_PORT,
      challengeAddress: options.challengeAddress,
      onWaiting: options.onWaiting,
    },
  )
  return new RenewedIdentity(needs, source, options)
}
