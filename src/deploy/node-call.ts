import { toHex } from '../base/bytes.ts'
import type { NodeIdentity } from '../base/identity.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import type { Caller } from '../service/index.ts'

const TRACE_ID_BYTES = 16

/** The context of a call that a built-in service of this node makes by itself, on nobody's behalf. */
export function contextOfNode(
  { clock, random }: { clock: Clock; random: Random },
  { nodeId, role }: NodeIdentity,
  service: string,
  timeoutMs: number,
  signal: AbortSignal,
): Parameters<Caller['call']>[2] {
  return {
    caller: { kind: 'node', nodeId, role, service },
    traceId: toHex(random.bytes(TRACE_ID_BYTES)),
    deadlineMs: clock.nowMs() + timeoutMs,
    signal,
  }
}
