import { Buffer } from 'node:buffer'
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { toHex, utf8 } from '../base/bytes.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'

/** What a joining node's proof covers: this connection, this key, this name, this moment. */
export interface JoinFacts {
  /** 32 bytes of the TLS exporter: ties the proof to one connection. */
  exporter: Uint8Array
  csrDer: Uint8Array
  nodeId: NodeId
  role: NodeRole
  nonce: string
}

/**
 * The MAC of a join proof, lower-case hex:
 * HMAC-SHA256(key, label ‖ exporter ‖ SHA-256(CSR) ‖ node id ‖ role ‖ nonce), each part preceded by
 * its length as 32 bits, big-endian, so that no two different inputs give the same bytes.
 */
export function joinMac(key: Uint8Array, facts: JoinFacts): string {
  const csrHash = createHash('sha256').update(facts.csrDer).digest()
  return mac(key, [
    utf8('p2p-core join proof v1'),
    facts.exporter,
    csrHash,
    utf8(facts.nodeId),
    utf8(facts.role),
    utf8(facts.nonce),
  ])
}

/** What the coordinator's plot proof covers. */
export interface PlotFacts {
  exporter: Uint8Array
  clientNonce: string
  caFingerprint: string
}

/** The coordinator's proof that it has the same plot; another label than {@link joinMac}, so that neither can be passed off as the other. */
export function plotProof(key: Uint8Array, facts: PlotFacts): string {
  return mac(key, [utf8('p2p-core plot proof v1'), facts.exporter, utf8(facts.clientNonce), utf8(facts.caFingerprint)])
}

/** Compares a MAC with one that came over the wire, in constant time. */
export function isSameMac(expected: string, given: string): boolean {
  return expected.length === given.length && timingSafeEqual(Buffer.from(expected), Buffer.from(given.toLowerCase()))
}

function mac(key: Uint8Array, parts: readonly Uint8Array[]): string {
  const hmac = createHmac('sha256', key)
  for (const part of parts) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    hmac.update(length).update(part)
  }
  return toHex(hmac.digest())
}
