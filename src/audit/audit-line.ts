import { createHmac, timingSafeEqual } from 'node:crypto'
import type { AuditRecord } from '../base/audit.ts'

/** Longest line that is read; texts are cut long before it. */
export const LINE_BYTES_MAX = 8_192
const TEXT_LENGTH_MAX = 512
/** What the first line of each file is chained to: it can be verified when the file before is gone. */
export const FIRST_MAC = ''

const LINE = /^(\{[^]*),"mac":"([A-Za-z0-9_-]{43})"\}$/

/** One line of the trail and the code that the next one is chained to. */
export interface AuditLine {
  /** Ends with a line feed. */
  text: string
  mac: string
}

/**
 * Writes a record as a line: JSON with, at its end, an HMAC-SHA256 over the code of the line before and this record. Without the key nobody
 * can change, leave out, insert or reorder lines unseen.
 */
export function encodeLine(record: AuditRecord, previousMac: string, key: Uint8Array): AuditLine {
  const bounded = Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value]),
  )
  const json = JSON.stringify(bounded)
  const mac = macOf(json, previousMac, key)
  return { text: `${json.slice(0, -1)},"mac":"${mac}"}\n`, mac }
}

/** The record in a line, or why it is none. */
export function decodeLine(
  text: string,
  previousMac: string,
  key: Uint8Array,
): { record: AuditRecord; mac: string; isChained: boolean } | undefined {
  const match = LINE.exec(text)
  if (!match) return undefined
  const [, head, mac] = match as unknown as [string, string, string]
  const json = `${head}}`
  try {
    const record = JSON.parse(json) as AuditRecord
    if (!Number.isSafeInteger(record.seq) || typeof record.act !== 'string') return undefined
    const expected = Buffer.from(macOf(json, previousMac, key))
    return { record, mac, isChained: timingSafeEqual(expected, Buffer.from(mac)) }
  } catch {
    return undefined
  }
}

function macOf(json: string, previousMac: string, key: Uint8Array): string {
  return createHmac('sha256', key).update(`${previousMac}\n${json}`).digest('base64url')
}

/** What came from outside is bounded; control characters are JSON's to escape. */
function cut(text: string): string {
  return text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text
}
