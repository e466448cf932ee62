import { readFileSync } from 'node:fs'
import { isAbsolute, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A place in a service's source; line and column count from 1. */
export interface SourcePlace {
  /** Relative to the service's folder. */
  file: string
  line: number
  column: number | undefined
}

const PLACE = /((?:file:\/\/|[A-Za-z]:\\|\/)?[^\s()"']*?\.[cm]?[jt]sx?)(?:\?[^\s:()]*)?:(\d+)(?::(\d+))?/g
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}]/gu
const LINES_AROUND = 2
const WIDTH_MAX = 200

/** The last place in the service's own files that a text names: a line of a stack, or a sentence with the place behind it. */
export function placeIn(text: string, folder: string): SourcePlace | undefined {
  let place: SourcePlace | undefined
  for (const [, named, line, column] of text.matchAll(PLACE)) {
    const file = ownFile(named as string, folder)
    if (file === undefined) continue
    place = { file, line: Number(line), column: column === undefined ? undefined : Number(column) }
  }
  return place
}

/** The lines around a place, the line itself marked; undefined when the file is not there (any more). */
export function codeFrame(place: SourcePlace, folder: string): string | undefined {
  let lines: string[]
  try {
    lines = readFileSync(join(folder, place.file), 'utf8').split(/\r?\n/)
  } catch {
    return undefined
  }
  if (place.line > lines.length) return undefined
  const first = Math.max(1, place.line - LINES_AROUND)
  const last = Math.min(lines.length, place.line + LINES_AROUND)
  const width = String(last).length
  const shown: string[] = []
  for (let number = first; number <= last; number++) {
    const text = (lines[number - 1] as string)
      .slice(0, WIDTH_MAX)
      .replaceAll('\t', ' ')
      .replaceAll(UNPRINTABLE, '\uFFFD')
    shown.push(`${number === place.line ? '>' : ' '} ${String(number).padStart(width)} | ${text}`)
    if (number === place.line && place.column !== undefined && place.column <= text.length + 1) {
      shown.push(`  ${' '.repeat(width)} | ${' '.repeat(place.column - 1)}^`)
    }
  }
  return shown.join('\n')
}

function ownFile(named: string, folder: string): string | undefined {
  const path = named.startsWith('file:') ? pathOf(named) : named
  if (path === undefined) return undefined
  const file = isAbsolute(path) ? relative(folder, path) : path
  const isInside =
    file !== '' && !isAbsolute(file) && !file.split(sep).some((part) => part === '..' || part === 'node_modules')
  return isInside ? file : undefined
}

function pathOf(url: string): string | undefined {
  try {
    return fileURLToPath(url)
  } catch {
    return undefined
  }
}
