import { stat } from 'node:fs/promises'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type NewCheck, parseHostPort } from './check.ts'

const PAGE_BYTES_MAX = 64 * 1_024
const DETAIL_CHARACTERS_MAX = 200

/** What one run found out. */
export interface Finding {
  isUp: boolean
  /** For people: `200 OK`, `connect ECONNREFUSED …`. */
  detail: string
  /** Unix milliseconds. */
  certificateExpiresMs?: number
  /** Tells a folder from another that took its place. */
  folderId?: string
}

/** Looks once at a check's target. Never rejects; ends when `signal` is aborted. */
export async function probe(check: NewCheck, signal: AbortSignal): Promise<Finding> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(check.timeout_ms)])
  try {
    if (check.kind === 'http') return await probeHttp(check, limit)
    if (check.kind === 'tcp') return await probeTcp(check.target, limit)
    return await probeFolder(check.target)
  } catch (error) {
    const isOverdue = limit.aborted && !signal.aborted
    return {
      isUp: false,
      detail: isOverdue ? `no answer within ${check.timeout_ms} ms` : textOf(error).slice(0, DETAIL_CHARACTERS_MAX),
    }
  }
}

/** A fresh connection each time: that a page can be reached is part of what is checked. Redirects are not followed. */
async function probeHttp(check: NewCheck, signal: AbortSignal): Promise<Finding> {
  const response = await get(check.target, signal)
  try {
    const status = response.statusCode as number
    const { expect_status: wanted, expect_text: text } = check
    const detail = `${status} ${response.statusMessage ?? ''}`.trim().slice(0, DETAIL_CHARACTERS_MAX)
    const certificateExpiresMs = certificateEnd(response)
    const finding = { ...(certificateExpiresMs !== undefined && { certificateExpiresMs }) }
    const isStatusWell = wanted === undefined ? status < 400 : status === wanted
    if (!isStatusWell) return { ...finding, isUp: false, detail }
    if (text === undefined || (await pageHolds(response, text))) return { ...finding, isUp: true, detail }
    return { ...finding, isUp: false, detail: `${detail}, but the page does not hold the expected text` }
  } finally {
    response.destroy()
  }
}

function get(target: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const open = target.startsWith('https:') ? httpsRequest : httpRequest
    const headers = { 'user-agent': 'p2p-watch/1.0', accept: '*/*' }
    open(target, { agent: false, headers, signal }, resolve).on('error', reject).end()
  })
}

function certificateEnd(response: IncomingMessage): number | undefined {
  const { socket } = response
  if (!('getPeerCertificate' in socket)) return undefined
  const end = Date.parse((socket as TLSSocket).getPeerCertificate().valid_to)
  return Number.isNaN(end) ? undefined : end
}

async function pageHolds(response: IncomingMessage, text: string): Promise<boolean> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= PAGE_BYTES_MAX) break
  }
  return Buffer.concat(chunks).subarray(0, PAGE_BYTES_MAX).includes(text)
}

function probeTcp(target: string, signal: AbortSignal): Promise<Finding> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...parseHostPort(target), signal })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve({ isUp: true, detail: 'connected' })
    })
  })
}

async function probeFolder(path: string): Promise<Finding> {
  const facts = await stat(path)
  if (!facts.isDirectory()) return { isUp: false, detail: 'not a folder' }
  return { isUp: true, detail: 'present', folderId: `${facts.dev}:${facts.ino}` }
}

function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(textOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
