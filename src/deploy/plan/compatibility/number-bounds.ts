import type { JsonSchema } from '../../../service/index.ts'
import { number } from './keywords.ts'

/** One end of the numbers that a schema takes. */
export interface Bound {
  value: number
  /** The value itself is out. */
  isOpen: boolean
}

/** The lower end; of integers it is always taken itself. */
export function lowest(schema: JsonSchema, type: 'integer' | 'number'): Bound {
  const [inclusive, exclusive] = [number(schema.minimum) ?? -Infinity, number(schema.exclusiveMinimum) ?? -Infinity]
  if (type === 'integer') {
    return { value: Math.max(Math.ceil(inclusive), Math.floor(exclusive) + 1, Number.MIN_SAFE_INTEGER), isOpen: false }
  }
  return exclusive >= inclusive && exclusive > -Infinity
    ? { value: exclusive, isOpen: true }
    : { value: inclusive, isOpen: false }
}

/** The upper end, likewise. */
export function highest(schema: JsonSchema, type: 'integer' | 'number'): Bound {
  const [inclusive, exclusive] = [number(schema.maximum) ?? Infinity, number(schema.exclusiveMaximum) ?? Infinity]
  if (type === 'integer') {
    return { value: Math.min(Math.floor(inclusive), Math.ceil(exclusive) - 1, Number.MAX_SAFE_INTEGER), isOpen: false }
  }
  return exclusive <= inclusive && exclusive < Infinity
    ? { value: exclusive, isOpen: true }
    : { value: inclusive, isOpen: false }
}
