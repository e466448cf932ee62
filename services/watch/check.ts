import { ServiceError, z } from 'p2p-core/service'

export const CHECKS_MAX = 100
export const RESULTS_MAX = 100

export const CheckName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be 1 to 63 letters, digits, ".", "_" or "-"')
  .describe('Name of the check, unique on this node')

/** What a person says when adding a check. */
export const NewCheck = z.object({
  name: CheckName,
  kind: z.enum(['http', 'tcp', 'folder']),
  target: z.string().min(1).max(2_048).describe('http: a URL; tcp: host:port; folder: an absolute path'),
  interval_ms: z.number().int().min(1_000).max(86_400_000).default(30_000).describe('Time between two runs'),
  timeout_ms: z.number().int().min(100).max(60_000).default(5_000).describe('Longest time one run may take'),
  expect_status: z
    .number()
    .int()
    .min(100)
    .max(599)
    .optional()
    .describe('http: the only status that is well; without it every one below 400 is. Redirects are not followed'),
  expect_text: z.string().min(1).max(256).optional().describe('http: text that the first 64 KiB of the page must hold'),
})
export type NewCheck = z.infer<typeof NewCheck>

/** `pending` until the first run is over. */
export const State = z.enum(['pending', 'up', 'down'])
export type State = z.infer<typeof State>

/** The outcome of one run, or a change seen in a folder. */
export const Result = z.object({
  at: z.iso.datetime(),
  is_up: z.boolean(),
  duration_ms: z.number(),
  detail: z.string(),
})
export type Result = z.infer<typeof Result>

export const CheckStatus = NewCheck.extend({
  state: State,
  since: z.iso.datetime(),
  last_result: Result.optional(),
  up_ratio: z.number().min(0).max(1).optional().describe('Share of the remembered results that were well'),
  certificate_expires: z.iso.datetime().optional().describe('https: end of the server certificate'),
})
export type CheckStatus = z.infer<typeof CheckStatus>

/** Refuses a target that its kind cannot use, before anything is stored. */
export function assertUsable(check: NewCheck): void {
  if (check.kind === 'http') assertUrl(check.target)
  else if (check.kind === 'tcp') parseHostPort(check.target)
  else if (!/^(?:\/|[A-Za-z]:[\\/]|\\\\)/.test(check.target)) {
    throw targetInvalid(check.target, 'a folder is named by its absolute path')
  }
  if (check.kind !== 'http' && (check.expect_status !== undefined || check.expect_text !== undefined)) {
    throw new ServiceError('TARGET_INVALID', 'expect_status and expect_text are for checks of kind http only')
  }
}

/** @returns the parts of `host:port` or `[v6]:port` */
export function parseHostPort(target: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@[\]]+)):(\d{1,5})$/.exec(target)
  const port = Number(match?.[3])
  if (!match || port < 1 || port > 65_535) throw targetInvalid(target, 'a TCP target is host:port or [IPv6]:port')
  return { host: (match[1] ?? match[2]) as string, port }
}

function assertUrl(target: string): void {
  const url = URL.parse(target)
  // The target is not repeated where it may hold a password.
  if (url && (url.username !== '' || url.password !== '')) {
    throw new ServiceError('TARGET_INVALID', 'The URL holds credentials, which everyone who lists the checks would see')
  }
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw targetInvalid(target, 'it must be an http or https URL')
  }
}

function targetInvalid(target: string, why: string): ServiceError {
  return new ServiceError('TARGET_INVALID', `${target} cannot be watched: ${why}`, { target })
}
