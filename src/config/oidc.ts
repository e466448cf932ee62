import { z } from 'zod'

const HTTPS_URL = z
  .string()
  .max(2_048)
  .refine((text) => {
    const url = URL.parse(text)
    return (
      url?.protocol === 'https:' && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
    )
  })

const CLAIM = z.string().min(1).max(128)

/** The `oidc` key: the provider of identities that people may sign in by, at a coordinator. */
export const OIDC_SCHEMA = z
  .strictObject({
    issuer: HTTPS_URL,
    client_id: z.string().min(1).max(256),
    name_claim: CLAIM.default('preferred_username'),
    role_claim: CLAIM.default('groups'),
    roles: z.record(z.string().min(1).max(256), z.enum(['viewer', 'operator', 'admin'])),
    client_secret_name: z.string().min(1).max(128).optional(),
    ca_file: z.string().min(1).max(4_096).optional(),
  })
  .optional()
