import type { Acme, AcmeAdmin, AcmeRequest } from '../../../../src/base/acme.ts'

/** An ACME server that answers everything, and remembers what it was asked. */
export class StubAcme implements Acme, AcmeAdmin {
  readonly posted: { request: AcmeRequest; body: unknown }[] = []
  readonly #facts = { kid: 'k1', label: 'web', names: [], uses_left: 1, created_at_ms: 1, expires_at_ms: 2 }

  directory(base: string): object {
    return { newNonce: `${base}/acme/new-nonce` }
  }

  nonce(): string {
    return 'a-nonce'
  }

  async post(request: AcmeRequest, body: unknown) {
    this.posted.push({ request, body })
    return { status: 200, headers: { 'replay-nonce': 'another' }, body: { status: 'valid' } }
  }

  async renewalInfo(_base: string, certificateId: string) {
    return { status: 200, headers: { 'retry-after': '60' }, body: { certificateId } }
  }

  async createCredential() {
    return { hmac_key: 'key', facts: this.#facts }
  }

  async listCredentials() {
    return [this.#facts]
  }

  async revokeCredential(): Promise<void> {}
}
