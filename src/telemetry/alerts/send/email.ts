import type { AlertMessage } from '../alert-message.ts'
import type { AlertSender } from './alert-sender.ts'

export interface EmailOptions {
  host: string
  port: number
  /** `tls` from the first byte, `starttls` before anything else is said, `none` for a server on this machine. */
  security: 'tls' | 'starttls' | 'none'
  from: string
  to: readonly string[]
  user?: string | undefined
  password?: string | undefined
  /** Root certificates instead of those of the system, PEM. */
  ca?: string | undefined
}

const TIMEOUT_MS = 20_000

/** Sends the message by SMTP (RFC 5321), as plain text. The server's certificate is verified. */
export function createEmail(options: EmailOptions): AlertSender {
  const { host, port, security, from, to, user, password, ca } = options
  return {
    name: `e-mail ${host}`,
    async send(message, signal) {
      const { createTransport } = await import('nodemailer')
      const transport = createTransport({
        host,
        port,
        secure: security === 'tls',
        requireTLS: security === 'starttls',
        ignoreTLS: security === 'none',
        ...(user !== undefined && { auth: { user, pass: password ?? '' } }),
        ...(ca !== undefined && { tls: { ca } }),
        connectionTimeout: TIMEOUT_MS,
        greetingTimeout: TIMEOUT_MS,
        socketTimeout: TIMEOUT_MS,
        disableFileAccess: true,
        disableUrlAccess: true,
      })
      const onAbort = Promise.withResolvers<never>()
      const abort = (): void => {
        transport.close()
        onAbort.reject(signal.reason as Error)
      }
      signal.addEventListener('abort', abort, { once: true })
      try {
        const sending = transport.sendMail({
          from,
          to: [...to],
          subject: subjectOf(message),
          text: textOf(message),
          messageId: `<${message.delivery}@p2p-core.invalid>`,
          headers: { 'Auto-Submitted': 'auto-generated' },
        })
        await Promise.race([sending, onAbort.promise])
      } finally {
        signal.removeEventListener('abort', abort)
        transport.close()
      }
    },
  }
}

/** One line, whatever a service wrote. */
function subjectOf({ text, cluster }: AlertMessage): string {
  return `[p2p ${cluster.slice(0, 12)}] ${text}`.replace(/[\p{Cc}\s]+/gu, ' ').slice(0, 200)
}

function textOf({ type, time, cluster, alert }: AlertMessage): string {
  const { title, detail, remedy, node_id: node, service, since, id } = alert
  const facts = [
    ['Cluster', cluster],
    ['Node', node],
    ['Service', service],
    ['Since', since],
    ['Told', time],
    ['Alert', `${id} (${type})`],
  ]
  const known = facts.filter(([, value]) => value !== undefined)
  const what = remedy === undefined ? '' : `\nWhat to do: ${remedy}\n`
  return `${title}\n\n${detail}\n${what}\n${known.map(([name, value]) => `${name}: ${value}\n`).join('')}`
}
