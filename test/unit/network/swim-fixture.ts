import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import type { NodeRecord } from '../../../src/base/member.ts'
import type { Message, RecordEnvelope, RecordMessage, SignedRecord } from '../../../src/network/swim/message.ts'
import type { SwimOutput } from '../../../src/network/swim/output.ts'
import { Swim, type SwimInput } from '../../../src/network/swim/swim.ts'
import { SimulatedRandom } from '../../../src/testing/index.ts'

export function nodeRecord(nodeId: string, recordVersion = 1): NodeRecord {
  return {
    nodeId,
    role: 'worker',
    cluster: 'test',
    recordVersion,
    softwareVersion: '3.0.0',
    addresses: [`${nodeId}:8002`],
    services: [],
    labels: {},
    capacity: { cpus: 4, memoryBytes: 8 * 2 ** 30 },
    certificateSerial: '01',
    startedAtMs: 0,
  }
}

/** An envelope the fixture's verifier accepts; `signature` other than 'ok' is a forgery. */
export function envelope(record: NodeRecord, signature = 'ok'): RecordEnvelope {
  return {
    bytes: Buffer.from(JSON.stringify(record)),
    signature: Buffer.from(signature),
    certificateChainPem: 'chain',
  }
}

export function signedRecord(nodeId: string, recordVersion = 1): SignedRecord {
  const record = nodeRecord(nodeId, recordVersion)
  return { record, envelope: envelope(record) }
}

export function recordMessage(
  nodeId: string,
  options: Partial<RecordMessage> & { recordVersion?: number } = {},
): RecordMessage {
  const { recordVersion = 1, ...rest } = options
  return {
    type: 'record',
    incarnation: 1,
    status: 'alive',
    envelope: envelope(nodeRecord(nodeId, recordVersion)),
    ...rest,
  }
}

/** The state machine of one node (incarnation 1), driven by hand. */
export class SwimHarness {
  readonly swim: Swim
  nowMs = 1_000
  outputs: SwimOutput[] = []

  constructor(members: readonly string[] = [], seed = 1, nodeId = 'self') {
    this.swim = new Swim(
      this.nowMs,
      {
        random: new SimulatedRandom(seed),
        open: (sealed) =>
          Buffer.from(sealed.signature).toString() === 'ok'
            ? { record: JSON.parse(Buffer.from(sealed.bytes).toString()), envelope: sealed }
            : undefined,
      },
      {
        signed: signedRecord(nodeId),
        incarnation: 1,
        intervalMsMin: 5_000,
        intervalMsMax: 30_000,
      },
    )
    for (const member of members) this.receive(member, recordMessage(member))
    this.outputs = []
  }

  step(input: SwimInput): SwimOutput[] {
    const outputs = this.swim.step(this.nowMs, input)
    this.outputs.push(...outputs)
    return outputs
  }

  receive(from: string, ...messages: Message[]): SwimOutput[] {
    return this.step({ type: 'receive', from, messages })
  }

  /** Lets time pass; every tick comes exactly when it is due. @param onPing answers for members */
  pass(durationMs: number, onPing: (target: string) => boolean = () => false): void {
    const endMs = this.nowMs + durationMs
    for (let ticks = 0; this.swim.nextDueMs <= endMs; ticks++) {
      assert.ok(ticks < 100_000, 'ticks without end')
      this.nowMs = Math.max(this.nowMs, this.swim.nextDueMs)
      this.answer(this.step({ type: 'tick' }), onPing)
    }
    this.nowMs = endMs
    this.answer(this.step({ type: 'tick' }), onPing)
  }

  answer(outputs: readonly SwimOutput[], onPing: (target: string) => boolean): void {
    for (const output of outputs) {
      if (output.type !== 'send' || !onPing(output.to)) continue
      for (const message of output.messages) {
        if (message.type === 'ping') this.receive(output.to, { type: 'ack', seq: message.seq })
      }
    }
  }

  status(nodeId: string): string | undefined {
    return this.swim.get(nodeId)?.status
  }

  /** Messages sent since the last call, of one type. */
  sent<T extends Message['type']>(type: T): { to: string; message: Extract<Message, { type: T }> }[] {
    const found = this.outputs.flatMap((output) => {
      if (output.type !== 'send') return []
      return output.messages
        .filter((message): message is Extract<Message, { type: T }> => message.type === type)
        .map((message) => ({ to: output.to, message }))
    })
    return found
  }
}
