import { Cron } from 'croner'
import { messageOf } from '../../base/errors.ts'

/**
 * The first moment after `afterMs` at which a schedule is due; both Unix ms. Where the clocks go forward a time that does not
 * exist is due when they have done so; where they go back a fixed time is due once, the first time.
 * @param schedule five fields, or six with seconds first
 * @param timeZone IANA name
 * @returns undefined when it is never due again
 */
export function nextRunMs(schedule: string, timeZone: string, afterMs: number): number | undefined {
  return cron(schedule, timeZone).nextRun(new Date(afterMs))?.getTime()
}

/** What is wrong with a schedule, for people; undefined: nothing. */
export function scheduleProblem(schedule: string, timeZone: string): string | undefined {
  try {
    return nextRunMs(schedule, timeZone, 0) === undefined ? `${schedule} is never due` : undefined
  } catch (error) {
    return messageOf(error)
  }
}

function cron(schedule: string, timeZone: string): Cron {
  // Without a function to call it is a calculator: it starts no timer.
  return new Cron(schedule, { timezone: timeZone, mode: '5-or-6-parts' })
}
