import { createHmac } from 'node:crypto'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Clock } from '../../../base/time.ts'
import type { AlertSender } from './alert-sender.ts'

export interface WebhookOptions {
  url: string
  /** Signs what is sent; absent: it is not signed. */
  secret?: string | undefined
}

/** What is read of an answer; it is only thrown away. */
const ANSWER_BYTES_MAX = 64 * 1_024
const USER_AGENT = 'p2p-core-alerts'

/**
 * POSTs the message as JSON. With a secret `P2P-Signature: t=<Unix seconds>,v1=<HMAC-SHA-256 of "<t>.<body>", hex>` proves where it is
 * from and when it was made; `P2P-Delivery` tells one that was sent twice. No redirect is followed.
 */
export function createWebhook({ clock }: { clock: Clock }, { url, secret }: WebhookOptions): AlertSender {
  const { protocol, host } = new URL(url)
  return {
    name: `webhook ${host}`,
    async send(message, signal) {
      const body = JSON.stringify(message)
      const seconds = Math.floor(clock.wallMs() / 1_000)
      const headers = {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': USER_AGENT,
        'p2p-delivery': message.delivery,
        ...(secret !== undefined && { 'p2p-signature': `t=${seconds},v1=${signature(secret, seconds, body)}` }),
      }
      const { request } = protocol === 'https:' ? https : http
      await new Promise<void>((resolve, reject) => {
        // A connection of its own: the next message comes in hours.
        const sending = request(url, { method: 'POST', headers, signal, agent: false })
        sending.once('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error))
        sending.once('response', (answer) => {
          readAnswer(answer, host).then(resolve, reject)
        })
        sending.end(body)
      })
    },
  }
}

/** The signature over a body that was made at that Unix second, hex. */
export function signature(secret: string, seconds: number, body: string): string {
  return createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
}

/** Reads an answer to its end, or as far as anybody would. */
async function readAnswer(answer: IncomingMessage, host: string): Promise<void> {
  const status = answer.statusCode ?? 0
  const isTaken = status >= 200 && status < 300
  if (!isTaken) {
    answer.destroy()
    throw new Error(`${host} answered ${status}`)
  }
  let bytes = 0
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).length
    // It was taken; what else it has to say nobody reads.
    if (bytes > ANSWER_BYTES_MAX) break
  }
  answer.destroy()
}
