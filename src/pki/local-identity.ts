import type { Component } from '../base/component.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CertificateSource } from './certificate-source.ts'
import {
  type ManagedIdentity,
  type ManagedIdentityNeeds,
  type ManagedIdentityOptions,
  RenewedIdentity,
} from './managed-identity.ts'
import { canonicalAddress, isHostName } from './address.ts'

/** Names under which a coordinator is always reached on its own host. */
const LOCAL_NAMES = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', '::1'] }

export interface LocalIdentityNeeds extends ManagedIdentityNeeds {
  ca: CertificateAuthority
}

/**
 * The coordinator's own identity, issued by its own CA: the same life as a worker's, without the
 * network. Its names are its host's and need no proof. When its certificate is revoked it takes a new one.
 */
export function createLocalIdentity(
  needs: LocalIdentityNeeds,
  options: Omit<ManagedIdentityOptions, 'role'>,
): ManagedIdentity & Component {
  return new LocalIdentity(needs, { ...options, role: 'coordinator' })
}

class LocalIdentity extends RenewedIdentity {
  readonly #ca: CertificateAuthority
  readonly #unlisten: (() => void)[] = []

  constructor(needs: LocalIdentityNeeds, options: ManagedIdentityOptions) {
    super(needs, localSource(needs.ca, options), options)
    this.#ca = needs.ca
  }

  override async start(signal: AbortSignal): Promise<void> {
    await super.start(signal)
    this.#unlisten.push(
      this.#ca.revocations.onChange(() => {
        if (this.#ca.revocations.isRevoked(this.certificate().serial)) this.renewNow()
      }),
      this.#ca.onTrustChange(() => this.trustMayHaveChanged()),
    )
    // A rotation may have gone on right before the end of the process before this one.
    this.trustMayHaveChanged()
  }

  override async stop(): Promise<void> {
    for (const unlisten of this.#unlisten.splice(0)) unlisten()
    await super.stop()
  }
}

function localSource(ca: CertificateAuthority, { nodeId, role }: ManagedIdentityOptions): CertificateSource {
  return {
    token: undefined,
    addresses: [],
    obtain: async (wish) => {
      const addresses = [...wish.ipAddresses, ...LOCAL_NAMES.ipAddresses].flatMap(
        (text) => canonicalAddress(text) ?? [],
      )
      const names = [...wish.dnsNames, ...LOCAL_NAMES.dnsNames].map((name) => name.toLowerCase()).filter(isHostName)
      const issued = await ca.issue({
        csr: await ca.readCsr(wish.csrPem),
        identity: { nodeId, role },
        dnsNames: [...new Set(names)],
        ipAddresses: [...new Set(addresses)],
      })
      return { status: 'issued', certificateChainPem: issued.certificateChainPem, trustPem: issued.trustPem }
    },
    trust: async () => {
      const { ca_certificate: root, trusted_roots: roots = [root] } = ca.trust
      return { trustPem: roots.join(''), issuerId: ca.issuingId }
    },
    release: async () => {},
  }
}
