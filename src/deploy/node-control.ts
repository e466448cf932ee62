import type { NodeId } from '../base/identity.ts'
import type { CallContext, Caller } from '../service/index.ts'

/** A service may take as long as its own limits allow to start; a person waits no longer than this. */
export const CONTROL_TIMEOUT_MS = 60_000

export interface ControlRequest {
  nodeId: NodeId
  service: string
  action: 'start' | 'stop' | 'restart'
}

/** Starts and stops one service on one node, wherever it came from; on any node, for any node. */
export interface NodeControl {
  /**
   * Resolves when it is done. What is stopped so stays stopped, also when its node is started again.
   * @param context the person who asks, and how long it is waited for
   * @throws {RpcError} P2P_SERVICE_NOT_FOUND, also for a part of the node; P2P_SERVICE_START_FAILED, P2P_RPC_NO_INSTANCE,
   *   P2P_RPC_ACCESS_DENIED; {NetworkError} P2P_NETWORK_NODE_UNKNOWN
   */
  control(request: ControlRequest, context: Omit<CallContext, 'signal'> & { signal?: AbortSignal }): Promise<void>
}

export function createNodeControl(needs: { calls: Caller }): NodeControl {
  return {
    async control({ nodeId, service, action }, context) {
      await needs.calls.call('deploy_agent/control_service', { service_name: service, action }, context, nodeId)
    },
  }
}
