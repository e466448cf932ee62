/* Numbers and times as text, short and of even width. */

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB']

/** Bytes in powers of 1024, three digits at most: `1.5 GB`. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return '–'
  let value = count
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(value >= 10 || unit === 0 ? 0 : 1)} ${UNITS[unit]}`
}

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : `${Math.round(value)} %`
}

/** `0.42`, `12`, `1.2k`; a dash where nothing is known. */
export function amount(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  if (value >= 10_000) return `${(value / 1000).toFixed(0)}k`
  if (value >= 1000) return `${(value / 1000).toFixed(1)}k`
  return value >= 10 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(value >= 1 ? 1 : 2)
}

export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${amount(value)} ms`
}

/** A moment as the wire has it: ISO 8601, Unix milliseconds, or Unix seconds (the mission's metrics). */
export function momentMs(moment: string | number): number {
  if (typeof moment === 'string') return Date.parse(moment)
  return moment < 100_000_000_000 ? moment * 1000 : moment
}

const YEAR_S = 31_557_600

/** How long: the two largest parts, `3 d 4 h`; from two years on in years. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  if (s >= 2 * YEAR_S) return `${Math.round(s / YEAR_S)} y`
  const hours = Math.floor((s % 86_400) / 3600)
  return s < 864_000 && hours > 0 ? `${Math.floor(s / 86_400)} d ${hours} h` : `${Math.floor(s / 86_400)} d`
}

/** `1 line`, `1,200 lines`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** Hex in groups of four, to compare by eye. */
export function grouped(hex: string): string {
  return hex.includes(':') ? hex : (hex.match(/.{1,4}/g)?.join(' ') ?? hex)
}

const two = (value: number): string => String(value).padStart(2, '0')

/** Date and time here, sortable: `2026-01-02 03:04:05`. */
export function dateTime(moment: string | number): string {
  const date = new Date(momentMs(moment))
  if (Number.isNaN(date.getTime())) return '–'
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** Time of the day with milliseconds: `03:04:05.678`. */
export function timeOfDay(moment: string): string {
  const date = new Date(moment)
  if (Number.isNaN(date.getTime())) return '–'
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}
