import { z } from 'zod'
import { TIMELINE_EVENT } from './timeline-wire.ts'
import { WIRE } from './wire.ts'

const told = <S extends z.ZodType>(schema: S, description: string): S => {
  WIRE.add(schema, { description })
  return schema
}

export const WHY_KINDS = ['service', 'node'] as const
export type WhyKind = (typeof WHY_KINDS)[number]

/** The answer to "why did it break". */
export const WHY_ANSWER = z
  .object({
    kind: z.enum(WHY_KINDS),
    name: z.string(),
    state: told(z.enum(['well', 'degraded', 'down', 'stopped']), '`stopped`: by a person, on purpose'),
    summary: told(z.string(), 'The present state, in a sentence or two'),
    cause: told(
      z
        .object({
          what: told(
            z.enum([
              'out-of-memory',
              'health-check',
              'exit',
              'limit',
              'deploy',
              'node',
              'certificate',
              'disk',
              'stopped',
              'errors',
              'placement',
            ]),
            'What kind of cause',
          ),
          text: z.string(),
          since: told(z.iso.datetime().optional(), 'When it happened'),
        })
        .optional(),
      'The most likely cause; absent where nothing is wrong and nothing was lately',
    ),
    before: told(z.array(TIMELINE_EVENT), 'What happened just before, newest first'),
    logs: told(
      z.array(
        z.object({
          timestamp: z.iso.datetime(),
          node_id: z.string(),
          level: z.string(),
          logger_name: z.string(),
          message: z.string(),
        }),
      ),
      'Its last lines that matter, oldest first',
    ),
    remedy: told(z.string().optional(), 'What to do'),
  })
  .register(WIRE, { id: 'WhyAnswer' })
export type WhyAnswer = z.infer<typeof WHY_ANSWER>

/** Answers from what a coordinator knows. */
export interface WhyTeller {
  /** @returns undefined when there is no such service or node, and never was as far as is remembered */
  why(kind: WhyKind, name: string): Promise<WhyAnswer | undefined>
}
