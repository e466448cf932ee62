import { z } from 'zod'
import type { NodeReport } from '../model.ts'

/** A node has no more assignments, and a service no more copies there, than these. */
const ASSIGNMENTS_MAX = 512
const INSTANCES_MAX = 256
/** Callers of a method that a node tells of. */
const CALLERS_MAX = 32
const METHOD_NAME = z.string().regex(/^[A-Za-z][\w-]{0,62}$/)
const CALLER_NAME = z.string().max(128)

const TEXT = z.string().max(4_096)
/** Each name is one of a manifest, which has 64 KiB. */
const PORTS = z.record(z.string().max(63), z.number().int().min(1).max(65_535))
const COUNT = z.number().int().nonnegative()

/** What a node may say of itself. */
export const NODE_REPORT: z.ZodType<NodeReport> = z.object({
  nodeId: z.string().max(63),
  revision: COUNT,
  assignments: z
    .array(
      z.object({
        service: z.string().max(63),
        generation: COUNT,
        hasArtifact: z.boolean(),
        instances: z
          .array(
            z.object({
              id: z.string().max(128),
              generation: COUNT.optional().transform((generation) => generation),
              state: z.enum(['starting', 'running', 'stopping', 'backoff', 'failed', 'stopped']),
              health: z.enum(['healthy', 'failing']),
              restarts: COUNT,
              reason: TEXT.exactOptional(),
              ports: PORTS.exactOptional(),
            }),
          )
          .max(INSTANCES_MAX),
        run: z
          .object({
            id: z.string().max(128),
            state: z.enum(['running', 'succeeded', 'failed']),
            exit: TEXT.exactOptional(),
          })
          .exactOptional(),
        failure: TEXT.exactOptional(),
        waitsFor: z.string().max(63).exactOptional(),
        isStoppedHere: z.boolean().exactOptional(),
        callers: z.record(METHOD_NAME, z.array(CALLER_NAME).max(CALLERS_MAX)).exactOptional(),
      }),
    )
    .max(ASSIGNMENTS_MAX),
}) as z.ZodType<NodeReport>
