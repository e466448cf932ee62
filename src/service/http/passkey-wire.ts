import { z } from 'zod'
import { WIRE } from './wire.ts'

const BYTES = (max: number) =>
  z
    .string()
    .regex(/^[\w-]*$/)
    .max(max)
/** A credential id has 1,023 bytes at most (WebAuthn Level 3 section 4). */
const CREDENTIAL_ID = BYTES(1_364).min(1)
const CLIENT_DATA = BYTES(8_192)
/** Browsers add to it as they like; nothing here is asked for and nothing is looked at. */
const IGNORED = z.unknown().transform((): Record<string, never> => ({}))

const COMMON = {
  id: CREDENTIAL_ID,
  rawId: CREDENTIAL_ID,
  type: z.literal('public-key'),
  authenticatorAttachment: z.string().max(32).optional(),
  clientExtensionResults: IGNORED,
}

/** `RegistrationResponseJSON` of WebAuthn Level 3 section 5.1.7, as a browser's `toJSON` gives it. */
export const PASSKEY_REGISTRATION = z.object({
  ...COMMON,
  response: z.object({
    clientDataJSON: CLIENT_DATA,
    attestationObject: BYTES(16_384),
    transports: z.array(z.string().max(32)).max(8).optional(),
  }),
})

/** `AuthenticationResponseJSON`, likewise. */
export const PASSKEY_ASSERTION = z.object({
  ...COMMON,
  response: z.object({
    clientDataJSON: CLIENT_DATA,
    authenticatorData: BYTES(4_096),
    signature: BYTES(4_096),
    userHandle: BYTES(128).optional(),
  }),
})

/** A passkey as its owner is told of it. */
export const PASSKEY = z
  .object({
    id: z.string(),
    label: z.string(),
    host: z.string().register(WIRE, { description: 'It works where the dashboard is opened by this name' }),
    created_at_ms: z.number(),
    used_at_ms: z.number().optional(),
  })
  .register(WIRE, { id: 'Passkey' })
