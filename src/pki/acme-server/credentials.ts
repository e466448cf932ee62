import type { AcmeAdmin, AcmeCredentialFacts } from '../../base/acme.ts'
import { toBase64Url } from '../../base/bytes.ts'
import { PkiError } from '../../base/errors.ts'
import type { AcmeContext } from './acme-context.ts'
import type { StoredCredential } from './acme-records.ts'

const CREDENTIALS_MAX = 1_000
const KEY_BYTES = 32
const USES_MAX = 1_000
const NAMES_MAX = 64
const LABEL_LENGTH_MAX = 100
const MINUTE_MS = 60_000
const TTL_MS_MAX = 366 * 24 * 3_600_000

/** Credentials for external account binding: who may open an account (RFC 8555 section 7.3.4). */
export function createAcmeCredentials(context: AcmeContext): AcmeAdmin {
  const { records, random, clock, log } = context
  type Options = Parameters<AcmeAdmin['createCredential']>[0]
  const create = async (options: Options, names: string[]): ReturnType<AcmeAdmin['createCredential']> => {
    if ((await records.credentials()).length >= CREDENTIALS_MAX) {
      throw new PkiError('P2P_PKI_BUSY', `There are ${CREDENTIALS_MAX} ACME credentials already: revoke some`)
    }
    const nowMs = clock.wallMs()
    const facts: AcmeCredentialFacts = {
      kid: context.newId(),
      label: options.label,
      names,
      uses_left: options.uses,
      created_at_ms: nowMs,
      expires_at_ms: nowMs + options.ttlMs,
    }
    const hmacKey = toBase64Url(random.bytes(KEY_BYTES))
    await records.putCredential({ ...facts, hmac_key: hmacKey })
    log.info('ACME credential created', { kid: facts.kid, label: facts.label, names })
    return { hmac_key: hmacKey, facts }
  }
  let lastMade: Promise<unknown> = Promise.resolve()
  return {
    async createCredential(options) {
      const names = checkOptions(context, options)
      // One after the other, so that each counts the one before.
      const made = lastMade.then(() => create(options, names))
      lastMade = made.catch(() => {})
      return made
    },
    async listCredentials() {
      return (await records.credentials()).map(factsOf)
    },
    async revokeCredential(kid) {
      if (!(await records.credential(kid))) {
        throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', `There is no ACME credential ${kid}`, { kid })
      }
      await records.revokeCredential(kid)
      log.warning('ACME credential revoked, with its accounts', { kid })
    },
  }
}

function checkOptions(
  { names: rules }: AcmeContext,
  { label, names, uses, ttlMs }: Parameters<AcmeAdmin['createCredential']>[0],
): string[] {
  if (label === '' || label.length > LABEL_LENGTH_MAX) throw invalid(`A label has 1 to ${LABEL_LENGTH_MAX} characters`)
  if (!Number.isInteger(uses) || uses < 1 || uses > USES_MAX) throw invalid(`A credential has 1 to ${USES_MAX} uses`)
  if (!(ttlMs >= MINUTE_MS && ttlMs <= TTL_MS_MAX)) throw invalid('A credential lives from a minute to 366 days')
  if (names.length > NAMES_MAX) throw invalid(`A credential has at most ${NAMES_MAX} names`)
  return names.map((text) => {
    const name = rules.canonicalAddress(text) ?? text.toLowerCase()
    const plain = name.startsWith('*.') ? name.slice(2) : name
    if (rules.canonicalAddress(plain) === undefined && !rules.isHostName(plain)) {
      throw invalid(`"${text}" is neither a host name, nor *. and a domain, nor an address`)
    }
    return name
  })
}

function factsOf({ hmac_key: _key, ...facts }: StoredCredential): AcmeCredentialFacts {
  return facts
}

function invalid(message: string): PkiError {
  return new PkiError('P2P_RPC_INVALID_PARAMS', message)
}
