/** How a failure looks on the wires. `rpc` is the JSON-RPC code (ours lie in -32000 to -32099), `http` the status, `exit` the process exit code. */
export interface ErrorFacts {
  rpc: number
  http: number
  /** The same request may succeed later, unchanged. */
  retryable: boolean
  /** Exit code of `p2p` when this ends it; 1 where absent. 2 usage or configuration, 75 try again, 77 no permission, 78 damaged data. */
  exit?: number
}

/**
 * Every error code of the program: the only list. Each has a row in `docs/errors.md` (a test compares both ways).
 * Keep the blocks in the order of the layers, and the codes in a block in alphabetical order.
 */
export const ERROR_CODES = {
  // config
  P2P_CONFIG_INVALID: { rpc: -32050, http: 400, retryable: false, exit: 2 },
  P2P_CONFIG_NOT_FOUND: { rpc: -32050, http: 404, retryable: false, exit: 2 },
  P2P_CONFIG_UNKNOWN_KEY: { rpc: -32050, http: 400, retryable: false, exit: 2 },
  // cli
  P2P_CLI_USAGE: { rpc: -32050, http: 400, retryable: false, exit: 2 },
  P2P_CLI_UNREACHABLE: { rpc: -32051, http: 503, retryable: true, exit: 75 },
  P2P_CLI_NOT_LOGGED_IN: { rpc: -32052, http: 401, retryable: false, exit: 77 },
  // storage: vault, plot, control store
  P2P_STORAGE_CLOSED: { rpc: -32060, http: 503, retryable: true },
  P2P_STORAGE_COMPACTED: { rpc: -32061, http: 410, retryable: false },
  P2P_STORAGE_DAMAGED: { rpc: -32062, http: 500, retryable: false, exit: 78 },
  P2P_STORAGE_EXISTS: { rpc: -32071, http: 409, retryable: false, exit: 2 },
  P2P_STORAGE_FAILED: { rpc: -32063, http: 500, retryable: false },
  P2P_STORAGE_FULL: { rpc: -32064, http: 507, retryable: true, exit: 75 },
  P2P_STORAGE_KEY_INVALID: { rpc: -32072, http: 400, retryable: false },
  P2P_STORAGE_LEASE_UNKNOWN: { rpc: -32065, http: 404, retryable: false },
  P2P_STORAGE_LOCKED: { rpc: -32066, http: 409, retryable: true, exit: 75 },
  P2P_STORAGE_NOT_FOUND: { rpc: -32073, http: 404, retryable: false, exit: 78 },
  P2P_STORAGE_OVERLOADED: { rpc: -32074, http: 503, retryable: true },
  P2P_STORAGE_PASSWORD_INVALID: { rpc: -32067, http: 400, retryable: false, exit: 2 },
  P2P_STORAGE_PERMISSIONS: { rpc: -32067, http: 403, retryable: false, exit: 77 },
  P2P_STORAGE_PLOT_INVALID: { rpc: -32067, http: 400, retryable: false, exit: 78 },
  P2P_STORAGE_PLOT_MISSING: { rpc: -32067, http: 400, retryable: false, exit: 78 },
  P2P_STORAGE_PLOT_PERMISSIONS: { rpc: -32067, http: 403, retryable: false, exit: 77 },
  P2P_STORAGE_UNLOCK_FAILED: { rpc: -32068, http: 401, retryable: false, exit: 77 },
  P2P_STORAGE_UNSUPPORTED: { rpc: -32069, http: 400, retryable: false, exit: 78 },
  P2P_STORAGE_VALUE_TOO_LARGE: { rpc: -32070, http: 413, retryable: false },
  // pki
  P2P_PKI_BANNED: { rpc: -32016, http: 403, retryable: false, exit: 77 },
  P2P_PKI_BUSY: { rpc: -32019, http: 503, retryable: true, exit: 75 },
  P2P_PKI_CHALLENGE_FAILED: { rpc: -32010, http: 403, retryable: true },
  P2P_PKI_CLOCK_SKEW: { rpc: -32011, http: 400, retryable: true },
  P2P_PKI_CSR_REJECTED: { rpc: -32010, http: 403, retryable: false },
  P2P_PKI_NODE_ID_TAKEN: { rpc: -32012, http: 409, retryable: false },
  P2P_PKI_NONCE_INVALID: { rpc: -32014, http: 403, retryable: true },
  P2P_PKI_PENDING: { rpc: -32013, http: 202, retryable: true, exit: 75 },
  P2P_PKI_PROOF_REJECTED: { rpc: -32014, http: 403, retryable: false, exit: 77 },
  P2P_PKI_REJECTED: { rpc: -32014, http: 403, retryable: false, exit: 77 },
  P2P_PKI_REQUEST_UNKNOWN: { rpc: -32015, http: 404, retryable: false },
  P2P_PKI_REVOKED: { rpc: -32016, http: 403, retryable: false, exit: 77 },
  P2P_PKI_ROTATION_RUNNING: { rpc: -32012, http: 409, retryable: false },
  P2P_PKI_ROTATION_WAITS: { rpc: -32012, http: 409, retryable: false },
  P2P_PKI_TOKEN_EXPIRED: { rpc: -32017, http: 403, retryable: false, exit: 77 },
  P2P_PKI_TOKEN_INVALID: { rpc: -32017, http: 403, retryable: false, exit: 77 },
  P2P_PKI_TOKEN_USED_UP: { rpc: -32017, http: 403, retryable: false, exit: 77 },
  P2P_PKI_UNTRUSTED_COORDINATOR: { rpc: -32018, http: 403, retryable: false, exit: 77 },
  // transport
  P2P_TRANSPORT_CHANNEL_CLOSED: { rpc: -32001, http: 503, retryable: true },
  P2P_TRANSPORT_IDENTITY_MISMATCH: { rpc: -32002, http: 403, retryable: false },
  P2P_TRANSPORT_LISTEN_FAILED: { rpc: -32007, http: 500, retryable: false, exit: 2 },
  P2P_TRANSPORT_OVERLOADED: { rpc: -32003, http: 503, retryable: true },
  P2P_TRANSPORT_PORT_TAKEN: { rpc: -32004, http: 500, retryable: true, exit: 75 },
  P2P_TRANSPORT_REFUSED: { rpc: -32008, http: 403, retryable: false },
  P2P_TRANSPORT_TOO_LARGE: { rpc: -32005, http: 413, retryable: false },
  P2P_TRANSPORT_UNREACHABLE: { rpc: -32006, http: 503, retryable: true, exit: 75 },
  // network
  P2P_NETWORK_DNS_UNAVAILABLE: { rpc: -32024, http: 500, retryable: true, exit: 75 },
  P2P_NETWORK_NODE_UNKNOWN: { rpc: -32021, http: 404, retryable: false },
  P2P_NETWORK_RECORD_INVALID: { rpc: -32023, http: 400, retryable: false },
  // cache
  P2P_CACHE_URL_INVALID: { rpc: -32050, http: 400, retryable: false, exit: 2 },
  // service and JSON-RPC (JSON-RPC 2.0 section 5.1)
  P2P_RPC_ACCESS_DENIED: { rpc: -32030, http: 403, retryable: false, exit: 77 },
  P2P_RPC_AUTHENTICATION_REQUIRED: { rpc: -32031, http: 401, retryable: false, exit: 77 },
  P2P_RPC_CANCELLED: { rpc: -32032, http: 499, retryable: true },
  P2P_RPC_CIRCUIT_OPEN: { rpc: -32039, http: 503, retryable: true, exit: 75 },
  P2P_RPC_DEADLINE_EXCEEDED: { rpc: -32033, http: 504, retryable: true, exit: 75 },
  P2P_RPC_INTERNAL: { rpc: -32603, http: 500, retryable: false },
  P2P_RPC_INVALID_PARAMS: { rpc: -32602, http: 400, retryable: false, exit: 2 },
  P2P_RPC_INVALID_REQUEST: { rpc: -32600, http: 400, retryable: false },
  P2P_RPC_INVALID_RESULT: { rpc: -32603, http: 500, retryable: false },
  P2P_RPC_METHOD_NOT_FOUND: { rpc: -32601, http: 404, retryable: false, exit: 2 },
  P2P_RPC_NO_INSTANCE: { rpc: -32034, http: 503, retryable: true, exit: 75 },
  P2P_RPC_OVERLOADED: { rpc: -32038, http: 503, retryable: true, exit: 75 },
  P2P_RPC_PARSE_ERROR: { rpc: -32700, http: 400, retryable: false },
  P2P_RPC_RATE_LIMITED: { rpc: -32029, http: 429, retryable: true, exit: 75 },
  P2P_RPC_SERVICE_FAILED: { rpc: -32035, http: 500, retryable: false },
  P2P_RPC_TOO_MANY_HOPS: { rpc: -32039, http: 508, retryable: false },
  P2P_RPC_TOO_MANY_ITEMS: { rpc: -32039, http: 413, retryable: false },
  P2P_SERVICE_LOAD_FAILED: { rpc: -32036, http: 500, retryable: false },
  P2P_SERVICE_NOT_FOUND: { rpc: -32037, http: 404, retryable: false },
  P2P_SERVICE_PERMISSION_DENIED: { rpc: -32039, http: 403, retryable: false, exit: 77 },
  P2P_SERVICE_START_FAILED: { rpc: -32049, http: 500, retryable: true },
  // HTTP surface and people's access tokens
  P2P_AUTH_CODE_REQUIRED: { rpc: -32040, http: 401, retryable: false, exit: 77 },
  P2P_AUTH_CREDENTIAL_INVALID: { rpc: -32040, http: 401, retryable: false, exit: 77 },
  P2P_AUTH_LAST_ADMIN: { rpc: -32040, http: 409, retryable: false },
  P2P_AUTH_OIDC_REFUSED: { rpc: -32040, http: 403, retryable: false, exit: 77 },
  P2P_AUTH_OIDC_UNAVAILABLE: { rpc: -32040, http: 502, retryable: true, exit: 75 },
  P2P_AUTH_PASSKEY_ADDRESS: { rpc: -32040, http: 400, retryable: false },
  P2P_AUTH_PASSKEY_UNKNOWN: { rpc: -32040, http: 404, retryable: false },
  P2P_AUTH_PASSWORD_WEAK: { rpc: -32040, http: 400, retryable: false, exit: 2 },
  P2P_AUTH_SESSION_UNKNOWN: { rpc: -32040, http: 404, retryable: false },
  P2P_AUTH_TOKEN_EXPIRED: { rpc: -32041, http: 401, retryable: false, exit: 77 },
  P2P_AUTH_TOKEN_INVALID: { rpc: -32042, http: 401, retryable: false, exit: 77 },
  P2P_AUTH_TOKEN_REVOKED: { rpc: -32043, http: 401, retryable: false, exit: 77 },
  P2P_AUTH_USER_EXISTS: { rpc: -32040, http: 409, retryable: false },
  P2P_AUTH_USER_UNKNOWN: { rpc: -32040, http: 404, retryable: false },
  P2P_HTTP_BODY_INVALID: { rpc: -32600, http: 400, retryable: false },
  P2P_HTTP_COORDINATOR_ONLY: { rpc: -32044, http: 403, retryable: false },
  P2P_HTTP_MEDIA_TYPE_UNSUPPORTED: { rpc: -32045, http: 415, retryable: false },
  P2P_HTTP_METHOD_NOT_ALLOWED: { rpc: -32046, http: 405, retryable: false },
  P2P_HTTP_NOT_FOUND: { rpc: -32601, http: 404, retryable: false },
  P2P_HTTP_STARTING: { rpc: -32047, http: 503, retryable: true },
  P2P_HTTP_STOPPING: { rpc: -32047, http: 503, retryable: true },
  P2P_HTTP_TOO_MANY_WATCHERS: { rpc: -32048, http: 429, retryable: true, exit: 75 },
  P2P_HTTP_UPGRADE_REQUIRED: { rpc: -32600, http: 426, retryable: false },
  // deploy: desired state, rollouts, node plans, secrets
  P2P_DEPLOY_ARTIFACT_UNKNOWN: { rpc: -32080, http: 404, retryable: false },
  P2P_DEPLOY_BUSY: { rpc: -32081, http: 409, retryable: true, exit: 75 },
  P2P_DEPLOY_INVALID: { rpc: -32602, http: 400, retryable: false, exit: 2 },
  P2P_DEPLOY_NO_EARLIER: { rpc: -32082, http: 409, retryable: false },
  P2P_DEPLOY_PLAN_REJECTED: { rpc: -32083, http: 403, retryable: false },
  P2P_DEPLOY_REFUSED: { rpc: -32084, http: 409, retryable: false },
  P2P_DEPLOY_SECRET_UNKNOWN: { rpc: -32085, http: 404, retryable: false },
  P2P_DEPLOY_UNKNOWN_SERVICE: { rpc: -32086, http: 404, retryable: false },
  // bundles of services and their storage
  P2P_ARTIFACT_BUSY: { rpc: -32087, http: 409, retryable: true, exit: 75 },
  P2P_ARTIFACT_DIGEST_MISMATCH: { rpc: -32088, http: 400, retryable: false },
  P2P_ARTIFACT_NO_ROOM: { rpc: -32089, http: 507, retryable: true },
  P2P_ARTIFACT_OFFSET_MISMATCH: { rpc: -32090, http: 409, retryable: false },
  P2P_ARTIFACT_TOO_LARGE: { rpc: -32005, http: 413, retryable: false, exit: 2 },
  P2P_ARTIFACT_UNAVAILABLE: { rpc: -32091, http: 503, retryable: true, exit: 75 },
  P2P_ARTIFACT_UNKNOWN: { rpc: -32092, http: 404, retryable: false },
  P2P_BUNDLE_DAMAGED: { rpc: -32093, http: 400, retryable: false },
  P2P_BUNDLE_DEPENDENCY: { rpc: -32094, http: 400, retryable: false, exit: 2 },
  P2P_BUNDLE_ENTRY_FORBIDDEN: { rpc: -32095, http: 400, retryable: false },
  P2P_BUNDLE_FOLDER_INVALID: { rpc: -32096, http: 400, retryable: false, exit: 2 },
  P2P_BUNDLE_INVALID: { rpc: -32097, http: 400, retryable: false },
  P2P_BUNDLE_SIGNATURE_INVALID: { rpc: -32098, http: 403, retryable: false },
  P2P_BUNDLE_TOO_LARGE: { rpc: -32005, http: 413, retryable: false, exit: 2 },
} as const satisfies Record<string, ErrorFacts>

export type ErrorCode = keyof typeof ERROR_CODES

/** Facts that help the reader: names, places, limits. Sent to callers: never a secret, never a stack. */
export type ErrorDetails = Readonly<Record<string, unknown>>

/**
 * An expected failure with a code to test. The message is a sentence for people: it names the thing,
 * the place and, where there is one, the remedy.
 */
export class P2PError extends Error {
  override readonly name: string = 'P2PError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.details = details
  }

  get facts(): ErrorFacts {
    return ERROR_CODES[this.code]
  }
}

export class ConfigError extends P2PError {
  override readonly name = 'ConfigError'
}
export class CliError extends P2PError {
  override readonly name = 'CliError'
}
export class StorageError extends P2PError {
  override readonly name = 'StorageError'
}
export class PkiError extends P2PError {
  override readonly name = 'PkiError'
}
export class TransportError extends P2PError {
  override readonly name = 'TransportError'
}
export class NetworkError extends P2PError {
  override readonly name = 'NetworkError'
}
export class CacheError extends P2PError {
  override readonly name = 'CacheError'
}
export class RpcError extends P2PError {
  override readonly name = 'RpcError'
}

export class DeployError extends P2PError {
  override readonly name = 'DeployError'
}

/** The error's code when it is ours, else undefined: `if (codeOf(error) === 'P2P_STORAGE_FULL')`. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof P2PError ? error.code : undefined
}

/** A short text of any thrown value, for log lines and for wrapping: never a stack. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(messageOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
