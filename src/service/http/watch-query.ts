import { z } from 'zod'
import { WATCH_MS_MAX } from './until-changed.ts'
import { WIRE } from './wire.ts'

/** Header with the number of the latest change of what was asked for, to be sent back as `?index=`. */
export const INDEX_HEADER = 'x-p2p-index'

const WAIT = z
  .string()
  .regex(/^\d{1,3}[sm]$/, 'must be a duration such as 30s or 5m')
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('m') ? 60_000 : 1_000))
  .refine((waitMs) => waitMs >= 1_000 && waitMs <= WATCH_MS_MAX, 'must be from 1s to 10m')

const WAIT_DEFAULT = '5m'

/** The query of a request that may wait for a change. */
export const WATCH_QUERY = z.strictObject({
  index: z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .optional()
    .register(WIRE, { description: '`X-P2P-Index` of the answer the caller has' }),
  wait: WAIT.prefault(WAIT_DEFAULT).register(WIRE, {
    description: 'How long to wait for a change of it: `1s` to `10m`; up to a sixteenth less is waited',
  }),
})
