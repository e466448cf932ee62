import type { CallContext } from '../definition/descriptor.ts'

export const CONTROL_ACTIONS = ['start', 'stop', 'restart'] as const
export type ControlAction = (typeof CONTROL_ACTIONS)[number]

/** Starts and stops one service on one node, from any node; given from the layer above, as what routes need of the orchestrator. */
export interface NodeControl {
  /** Resolves when it is done. */
  control(
    request: { nodeId: string; service: string; action: ControlAction },
    context: Omit<CallContext, 'signal'> & { signal?: AbortSignal },
  ): Promise<void>
}
