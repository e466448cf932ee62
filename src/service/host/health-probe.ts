import { get } from 'node:http'
import { connect } from 'node:net'
import { toHex } from '../../base/bytes.ts'
import type { NodeIdentity } from '../../base/identity.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { CallContext } from '../definition/descriptor.ts'
import { formatMethodName } from '../jsonrpc/index.ts'
import type { HealthCheck } from '../definition/manifest.ts'
import type { MethodCall } from '../sdk/method.ts'
import { portOf } from './placeholders.ts'
import type { ServiceRun } from './run.ts'

const LOOPBACK = '127.0.0.1'
const TRACE_ID_BYTES = 16
/** Of an HTTP answer: what its body says is not looked at. */
const STATUS_BAD_MIN = 400

export interface ProbeNeeds {
  clock: Clock
  random: Random
  identity: NodeIdentity
  /** Runs a program as the service itself would. @throws when it does not end with 0 */
  runScript(command: string, args: readonly string[], signal: AbortSignal): Promise<void>
}

/** One question how an instance is. @throws why it is not well; the signal's reason */
export type HealthProbe = (signal: AbortSignal) => Promise<void>

/** @param service its name as callers use it */
export function healthProbe(needs: ProbeNeeds, check: HealthCheck, service: string, run: ServiceRun): HealthProbe {
  switch (check.kind) {
    case 'heartbeat':
      return (signal) => run.ping(signal)
    case 'method':
      return (signal) => askMethod(needs, formatMethodName(service, check.method), check.timeoutMs, run, signal)
    case 'http':
      return (signal) => askHttp(Number(portOf(run.ports, check.port)), check.path, signal)
    case 'tcp':
      return (signal) => askTcp(Number(portOf(run.ports, check.port)), signal)
    case 'script':
      return (signal) => needs.runScript(check.command, check.args, signal)
    case 'none':
      return async () => {}
  }
}

async function askMethod(
  { clock, random, identity }: ProbeNeeds,
  method: string,
  timeoutMs: number,
  run: ServiceRun,
  signal: AbortSignal,
): Promise<void> {
  const { nodeId, role } = identity
  const call: CallContext = {
    caller: { kind: 'node', nodeId, role },
    traceId: toHex(random.bytes(TRACE_ID_BYTES)),
    deadlineMs: clock.nowMs() + timeoutMs,
    signal,
  }
  // What a method sees of a call beside this is made where it runs.
  await new Promise((resolve, reject) => run.forward(method, {}, call as MethodCall, { resolve, reject }))
}

function askHttp(port: number, path: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ host: LOOPBACK, port, path, signal, agent: false }, (answer) => {
      answer.resume()
      const status = answer.statusCode ?? 0
      if (status < STATUS_BAD_MIN) resolve()
      else reject(new Error(`GET ${path} answered ${status}`))
    })
    request.once('error', (error) => reject(signal.aborted ? signal.reason : error))
  })
}

function askTcp(port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: LOOPBACK, port, signal })
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', (error) => reject(signal.aborted ? signal.reason : error))
  })
}
