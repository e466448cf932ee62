import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus } from '../../base/member.ts'
import type { Message } from './message.ts'

/** What the shell has to do for the state machine. */
export type SwimOutput =
  /** Over the open channel, or a new one where there is none. */
  | { type: 'send'; to: NodeId; messages: Message[] }
  /** Open a channel if there is none; the state exchange follows by itself. */
  | { type: 'connect'; nodeId: NodeId }
  /** The channel is of no use any more: the member is gone or its path is silent. */
  | { type: 'disconnect'; nodeId: NodeId }
  /** Status, incarnation or record changed; `previous` is undefined for a member seen for the first time. */
  | { type: 'changed'; nodeId: NodeId; previous: MemberStatus | undefined }
  /** A record of this node with a higher version is known to others: publish one above it. */
  | { type: 'outranked'; recordVersion: number }
