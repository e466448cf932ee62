import { valid } from 'semver'
import { z } from 'zod'
import type { ArtifactDigest } from '../../base/deployment.ts'

/** A program of a node that came by an upgrade: an unpacked bundle. */
export interface ProgramVersion {
  digest: ArtifactDigest
  version: string
}

/** Which program a node runs: the content of `program.json` in its state directory. `null` stands for the installed program. */
export interface ProgramPointer {
  format: 1
  /** Version of the installed program when this was written. Another one means that somebody installed anew. */
  installed: string
  /** Key of the upgrade that wrote it. */
  upgrade: string
  current: ProgramVersion | null
  previous: ProgramVersion | null
  /** Starts of `current` since it was chosen, while it is not confirmed. */
  attempts: number
  /** `current` has run well for a while: from then on a crash of it is no reason to go back. */
  isConfirmed: boolean
  /** Other members were there before the switch: `current` must find one, too. */
  hadCompany: boolean
  /** What did not become `current`, and why. */
  failed?: (ProgramVersion & { reason: string }) | undefined
}

/** Starts in which a program must confirm itself. */
export const PROGRAM_STARTS_MAX = 2

const PROGRAM = z.strictObject({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  version: z.string().refine((version) => valid(version) === version),
})

const POINTER = z.strictObject({
  format: z.literal(1),
  installed: z.string(),
  upgrade: z.string(),
  current: PROGRAM.nullable(),
  previous: PROGRAM.nullable(),
  attempts: z.int().min(0),
  isConfirmed: z.boolean(),
  hadCompany: z.boolean(),
  failed: PROGRAM.extend({ reason: z.string() }).optional(),
})

/** @returns undefined when the text is no pointer of this format */
export function parsePointer(text: string): ProgramPointer | undefined {
  try {
    return POINTER.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** What is known when a node's process begins. */
export interface StartFacts {
  /** Version of the installed program. */
  installed: string
  /** Why the program that the pointer names has just ended, when it did before it was confirmed. */
  failure: string | undefined
  /** Whether a program's folder is there. */
  isThere: (digest: ArtifactDigest) => boolean
}

export interface StartDecision {
  /** Null: the installed one. */
  run: ProgramVersion | null
  /** To be written before it runs; undefined: there is none from now on. */
  pointer: ProgramPointer | undefined
  /** For people: why it is not the program that was chosen. */
  why?: string
}

/** Which program a beginning process runs, and what the pointer is from then on. */
export function programToStart(pointer: ProgramPointer | undefined, facts: StartFacts): StartDecision {
  if (!pointer) return { run: null, pointer: undefined }
  const { current, installed, isConfirmed } = pointer
  if (installed !== facts.installed) {
    const why = `The installed program was ${installed} and is now ${facts.installed}: it runs instead of what upgrades brought`
    return { run: null, pointer: undefined, why }
  }
  if (!current) return { run: null, pointer }
  const fault = faultOf(pointer, current, facts)
  if (fault !== undefined) return goBack(pointer, current, fault, facts)
  return { run: current, pointer: isConfirmed ? pointer : { ...pointer, attempts: pointer.attempts + 1 } }
}

function faultOf(
  { isConfirmed, attempts }: ProgramPointer,
  { digest }: ProgramVersion,
  { failure, isThere }: StartFacts,
): string | undefined {
  if (!isThere(digest)) return 'its folder is not there any more'
  if (isConfirmed) return undefined
  if (failure !== undefined) return failure
  return attempts >= PROGRAM_STARTS_MAX ? `it was not ready and well in ${attempts} starts` : undefined
}

function goBack(
  pointer: ProgramPointer,
  current: ProgramVersion,
  reason: string,
  { installed, isThere }: StartFacts,
): StartDecision {
  const { previous } = pointer
  const back = previous && previous.digest !== current.digest && isThere(previous.digest) ? previous : null
  return {
    run: back,
    pointer: {
      ...pointer,
      current: back,
      previous: null,
      attempts: 0,
      isConfirmed: true,
      failed: { ...current, reason },
    },
    why: `Version ${current.version} is left: ${reason}. Version ${back?.version ?? installed} runs again`,
  }
}

/** The pointer that makes `next` run at the next start. */
export function switchedTo(
  next: ProgramVersion,
  from: { installed: string; upgrade: string; running: ProgramVersion | null; hadCompany: boolean },
): ProgramPointer {
  const { installed, upgrade, running: previous, hadCompany } = from
  return { format: 1, installed, upgrade, current: next, previous, attempts: 0, isConfirmed: false, hadCompany }
}

/** The pointer of a program that has run well for a while. */
export function confirmed(pointer: ProgramPointer): ProgramPointer {
  return { ...pointer, attempts: 0, isConfirmed: true, failed: undefined }
}
