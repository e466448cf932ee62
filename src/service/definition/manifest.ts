import { isAbsolute, normalize, resolve, sep } from 'node:path'
import { z } from 'zod'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import { isServiceName } from '../jsonrpc/index.ts'
import { nearest } from '../calls/missing-method.ts'
import { SERVICE_KINDS } from './service-spec.ts'
import type { Permissions } from '../../base/deployment.ts'

/** Longest `manifest.json` that is read. */
const MANIFEST_BYTES_MAX = 64 * 1_024
const INSTANCES_MAX = 64
/** Of an instance that says nothing else. */
export const PROCESSES_MAX = 512
const DAY_MS = 24 * 60 * 60 * 1_000

const SERVICE_NAME = z
  .string()
  .refine(isServiceName, 'must be 1 to 63 letters, digits, "_" or "-", beginning with a letter')
/** Of a port, a secret, a variable: what can stand in a placeholder. */
const WORD = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/, 'must be 1 to 63 letters, digits, "_", "-" or "."')
const MILLISECONDS = z.int().min(1).max(DAY_MS)
const TEXT = z.string().max(32_768)
const PATH = z.string().min(1).max(4_096)
/** A folder below the service's own. */
const INNER_PATH = PATH.refine(
  (path) => !isAbsolute(path) && !normalize(path).split(sep).includes('..'),
  "must be a path below the service's own folder",
)

/** How often it is asked, and what follows from the answers. */
const RHYTHM = {
  /** From one answer to the next question. */
  intervalMs: MILLISECONDS.default(5_000),
  /** An answer that takes longer is a failure. */
  timeoutMs: MILLISECONDS.default(2_000),
  /** After so many failures in a row it is `failing`: others are preferred. */
  failures: z.int().min(1).max(1_000).default(3),
  /** After so many good answers in a row it is `healthy` again. */
  successes: z.int().min(1).max(1_000).default(1),
  /** After so many failures in a row it is ended and started again; 0: never. Default: twice `failures`. */
  restartAfter: z.int().min(0).max(1_000).optional(),
}

const HEALTH = z.discriminatedUnion('kind', [
  /**
   * Its process answers over its link: for `process` and `thread`, where this is always on. Whoever computes for long without a
   * pause is missed after 10 s, and started anew after 20 s.
   */
  z.strictObject({
    kind: z.literal('heartbeat'),
    ...RHYTHM,
    intervalMs: MILLISECONDS.default(2_000),
    timeoutMs: MILLISECONDS.default(3_000),
    failures: z.int().min(1).max(1_000).default(2),
  }),
  /** A method without parameters; it must not fail. */
  z.strictObject({ kind: z.literal('method'), method: WORD, ...RHYTHM }),
  /** `GET` on this machine; 200 to 399 is good. */
  z.strictObject({ kind: z.literal('http'), path: z.string().startsWith('/'), port: WORD.optional(), ...RHYTHM }),
  /** The port takes connections. */
  z.strictObject({ kind: z.literal('tcp'), port: WORD.optional(), ...RHYTHM }),
  /** A program that ends with 0. */
  z.strictObject({ kind: z.literal('script'), command: PATH, args: z.array(TEXT).max(256).default([]), ...RHYTHM }),
  z.strictObject({ kind: z.literal('none') }),
])

const RESTART = z.strictObject({
  /** `on-failure`: not after an end with exit code 0; `never`: what has ended stays so. */
  policy: z.enum(['always', 'on-failure', 'never']).default('always'),
  /** Pause before the first new start; it doubles with each end, up to `backoffMsMax`. */
  backoffMs: MILLISECONDS.default(100),
  backoffMsMax: MILLISECONDS.default(30_000),
  /** So many ends within `windowMs`, and it is given up: state `failed`. */
  attempts: z.int().min(1).max(100).default(10),
  windowMs: MILLISECONDS.default(300_000),
  /** Whoever ran this long begins anew with `backoffMs`. */
  healthyMs: MILLISECONDS.default(10_000),
})

const PERMISSIONS = z.strictObject({
  net: z.boolean().default(false),
  childProcess: z.boolean().default(false),
  read: z.array(PATH).max(64).default([]),
  write: z.array(PATH).max(64).default([]),
})

const EXEC = z.strictObject({
  /** Found in PATH, or a path from the service's folder (`./server`), or absolute. */
  command: PATH,
  args: z
    .array(TEXT.refine((arg) => !arg.includes('{secret:'), 'a secret in an argument can be read by everybody: use env'))
    .max(256)
    .default([]),
  cwd: INNER_PATH.optional(),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable'), TEXT).default({}),
  /** Files that are made for it, in memory; `{file:name}` is where. With `"reload": "signal"` they are made anew, then it gets SIGHUP. */
  files: z.record(WORD, TEXT).optional(),
})

const DEPENDENCY = z.union([
  SERVICE_NAME.transform((service) => ({ service, healthy: false })),
  z.strictObject({ service: SERVICE_NAME, healthy: z.boolean().default(false) }),
])

/**
 * The optional `manifest.json` of a service: what it is, how it is run, and what it asks for. Its name must be the one
 * the code gives; version and description stand in where the code gives none. Members of later versions are let through.
 */
const MANIFEST = z
  .looseObject({
    name: SERVICE_NAME.optional(),
    version: z.string().min(1).max(64).optional(),
    description: z.string().max(1_000).optional(),
    kind: z.enum(SERVICE_KINDS).optional(),
    /** The program of a service of kind `exec`. */
    exec: EXEC.optional(),
    /** Copies on a node. */
    instances: z.int().min(1).max(INSTANCES_MAX).optional(),
    health: HEALTH.optional(),
    restart: RESTART.optional(),
    limits: z
      .strictObject({
        /** Resident memory of one instance. */
        memoryMb: z.int().min(16).max(1_048_576).optional(),
        /** Cores, as 0.5 or 2. */
        cpus: z.number().min(0.01).max(1_024).optional(),
        /** Processes of one instance at once, its own included. */
        processes: z.int().min(1).max(65_536).optional(),
      })
      .optional(),
    /** What it asks for beside computing, its own folder, and its data directory. */
    permissions: PERMISSIONS.optional(),
    /** By name; 0: any free one, chosen at each start. */
    ports: z.record(WORD, z.int().min(0).max(65_535)).optional(),
    /** What `service.config` gives where whoever deploys says nothing else. */
    config: z.record(z.string(), z.json()).optional(),
    /** Names of the secrets it needs. */
    secrets: z.array(WORD).max(64).optional(),
    /**
     * What another configuration or secret does to it: `restart`: new instances take the place of the old ones; `signal`: it goes on,
     * and is told (`reconfigure`; a program gets SIGHUP).
     */
    reload: z.enum(['restart', 'signal']).optional(),
    /** Services that must run before it; `healthy`: and be well. */
    dependsOn: z.array(DEPENDENCY).max(64).optional(),
    /** For the module to load and `initialize`, or for an `exec` program to pass its health check. */
    startTimeoutMs: MILLISECONDS.optional(),
    /** For running calls to end, and again for `cleanup`, or between SIGTERM and SIGKILL. */
    stopTimeoutMs: MILLISECONDS.optional(),
  })
  .superRefine(checkTogether)

export type Manifest = z.infer<typeof MANIFEST>

/** `files` says what is packed. Members of other programs may stand beside them, unless they look like one of these. */
const MEMBERS: readonly string[] = [...Object.keys(MANIFEST.shape), 'files']
/** Shorter names are near to everything. */
const MISSPELT_LENGTH_MIN = 4

export type HealthCheck = z.infer<typeof HEALTH>
export type ExecProgram = z.infer<typeof EXEC>

/** What every service has that says nothing else. */
export const RESTART_DEFAULT: z.infer<typeof RESTART> = RESTART.parse({})
type CheckOf<Kind> = Extract<HealthCheck, { kind: Kind }>
export const HEARTBEAT_DEFAULT = HEALTH.parse({ kind: 'heartbeat' }) as CheckOf<'heartbeat'>
/** Of a program with one port. */
export const TCP_DEFAULT = HEALTH.parse({ kind: 'tcp' }) as CheckOf<'tcp'>
const PERMISSIONS_NONE = PERMISSIONS.parse({})

/** @returns an empty manifest when there is no file. @throws {RpcError} P2P_SERVICE_LOAD_FAILED */
export async function readManifest(files: Files, path: string): Promise<Manifest> {
  const facts = await files.facts(path)
  if (!facts) return {}
  if (facts.sizeBytes > MANIFEST_BYTES_MAX) {
    throw failed(path, `it has ${facts.sizeBytes} bytes, ${MANIFEST_BYTES_MAX} are allowed`)
  }
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(await files.readFile(path)))
  } catch (error) {
    throw failed(path, messageOf(error))
  }
  return parseManifest(value, path)
}

/**
 * Checks what a manifest says.
 * @param path where it is from, for the message
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED naming each member that is wrong, and what would be right
 */
export function parseManifest(value: unknown, path = 'manifest.json'): Manifest {
  const checked = MANIFEST.safeParse(value)
  if (checked.success) return checked.data
  throw failed(path, checked.error.issues.map(issueText).join('; '))
}

/** What a manifest asks for, with absolute paths: relative ones are below the service's folder. */
export function askedPermissions(manifest: Manifest, folder: string): Permissions {
  const { net, childProcess, read, write } = manifest.permissions ?? PERMISSIONS_NONE
  const absolute = (paths: readonly string[]): string[] => paths.map((path) => resolve(folder, path))
  return { net, childProcess, read: absolute(read), write: absolute(write) }
}

function checkTogether(manifest: z.infer<typeof MANIFEST>, context: z.RefinementCtx): void {
  const { kind, exec, instances = 1, ports = {}, health, permissions, reload } = manifest
  const issue = (path: string, message: string): void => {
    context.addIssue({ code: 'custom', path: path.split('.'), message })
  }
  for (const key of Object.keys(manifest)) {
    const near = MEMBERS.includes(key) || key.length < MISSPELT_LENGTH_MIN ? undefined : nearest(key, MEMBERS)
    if (near !== undefined) issue(key, `there is no such member; did you mean ${near}?`)
  }
  if (kind === 'exec' && !exec) issue('exec', 'is missing: kind "exec" needs { "command": … }')
  if (exec && kind !== undefined && kind !== 'exec') issue('kind', `must be "exec" where exec is given, not "${kind}"`)
  if (exec && reload === 'signal' && Object.keys(exec.files ?? {}).length === 0) {
    issue(
      'exec.files',
      'is missing: a program that goes on finds its new settings in files, { "name": "text with {config:…}" }',
    )
  }
  const fixed = Object.entries(ports).find(([, port]) => port !== 0)
  if (instances > 1 && fixed) {
    issue(`ports.${fixed[0]}`, `${instances} instances cannot share port ${fixed[1]}: use 0, or 1 instance`)
  }
  if (Object.keys(ports).length > 0 && !permissions?.net) issue('ports', 'need "permissions": { "net": true }')
  const open = Object.entries(ports).find(([, port]) => port === 0)
  if (open && !exec) issue(`ports.${open[0]}`, 'must be the port the service listens on; 0 is for kind "exec"')
  if (kind === 'inline' && instances > 1) issue('instances', 'must be 1 for kind "inline"')
  if (health?.kind === 'http' || health?.kind === 'tcp') {
    const known = Object.keys(ports)
    if (known.length === 0) issue('ports', `is missing: health check "${health.kind}" needs a port`)
    else if (health.port === undefined && known.length > 1) {
      issue('health.port', `is missing: say which of ${known.join(', ')} is asked`)
    } else if (health.port !== undefined && !known.includes(health.port)) {
      issue('health.port', `"${health.port}" is not in ports (${known.join(', ')})`)
    }
  }
  if (exec && (health?.kind === 'heartbeat' || health?.kind === 'method')) {
    issue('health.kind', `"${health.kind}" is for services with methods; kind "exec" has http, tcp, script and none`)
  }
}

function issueText(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.')
  const at = path === '' ? '' : `${path}: `
  if (issue.code !== 'unrecognized_keys') return `${at}${issue.message}`
  const known = KNOWN_MEMBERS[issue.path.map(String)[0] ?? ''] ?? []
  return issue.keys
    .map((key) => {
      const near = nearest(key, known)
      return `${path}.${key}: there is no such member${near === undefined ? `; there are ${known.join(', ')}` : `; did you mean ${near}?`}`
    })
    .join('; ')
}

/** Of the parts that are strict, for suggestions. */
const KNOWN_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  exec: Object.keys(EXEC.shape),
  restart: Object.keys(RESTART.shape),
  limits: ['memoryMb', 'cpus', 'processes'],
  permissions: Object.keys(PERMISSIONS.shape),
  health: ['kind', 'method', 'path', 'port', 'command', 'args', ...Object.keys(RHYTHM)],
  dependsOn: ['service', 'healthy'],
}

function failed(path: string, reason: string): RpcError {
  return new RpcError('P2P_SERVICE_LOAD_FAILED', `${path}: ${reason}`, { path })
}
