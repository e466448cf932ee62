import { constants } from 'node:crypto'

/** TLS 1.2 suites with forward secrecy and AEAD only (RFC 9325 section 4.2); TLS 1.3 has no others. */
export const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/**
 * No session tickets: a resumed session would bring back a client certificate that was verified under an older trust
 * or before a revocation, and connections here live long enough not to miss them. No renegotiation: the client
 * certificate of a connection must not change (RFC 9113 section 9.2.1).
 */
export const SERVER_SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION
