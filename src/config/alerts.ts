import { z } from 'zod'
import { isLoopback } from './address.ts'

const ADDRESS = z
  .string()
  .regex(/^[^\s@<>,]+@[^\s@<>,]+$/)
  .max(254)

/** HTTPS, or plain HTTP to this machine; no credentials in it, they would be shown. */
const WEBHOOK_URL = z
  .string()
  .max(2_048)
  .refine((text) => {
    if (!URL.canParse(text)) return false
    const { protocol, hostname, username, password } = new URL(text)
    const isHere = hostname === 'localhost' || isLoopback(hostname.replace(/^\[|\]$/g, ''))
    return username === '' && password === '' && (protocol === 'https:' || (protocol === 'http:' && isHere))
  })

/** The `alerts` key: whom the alerts of a coordinator are sent to. */
export const ALERTS_SCHEMA = z
  .strictObject({
    webhooks: z.array(WEBHOOK_URL).max(8).default([]),
    email: z
      .strictObject({
        host: z.string().min(1).max(253),
        port: z.int().min(1).max(65_535).optional(),
        security: z.enum(['tls', 'starttls', 'none']).default('starttls'),
        from: ADDRESS,
        to: z.array(ADDRESS).min(1).max(32),
        user: z.string().min(1).max(254).optional(),
      })
      // A password, and what is wrong where, are for nobody on the way.
      .refine(
        ({ security, host, user }) =>
          security !== 'none' || user === undefined || host === 'localhost' || isLoopback(host),
      )
      .optional(),
    script: z.string().min(1).max(4_096).optional(),
  })
  .optional()

/** Ports of SMTP: submission, and submission over TLS (RFC 8314), or the server of this machine. */
export const SMTP_PORTS = { tls: 465, starttls: 587, none: 25 } as const
