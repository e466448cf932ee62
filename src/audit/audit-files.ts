import { join } from 'node:path'
import type { Files } from '../base/files.ts'

const NAME = /^audit-(\d{6})\.log$/
const CHUNK_BYTES = 64 * 1_024

/** A file of the trail. */
export interface AuditFile {
  number: number
  path: string
}

export function auditFile(directory: string, number: number): AuditFile {
  return { number, path: join(directory, `audit-${String(number).padStart(6, '0')}.log`) }
}

/** The files of the trail, oldest first. */
export async function listAuditFiles(files: Files, directory: string): Promise<AuditFile[]> {
  return (await files.list(directory))
    .map((name) => NAME.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map((digits) => auditFile(directory, Number(digits)))
    .sort((a, b) => a.number - b.number)
}

/** A line of a file without its line feed; `end` is the offset behind it. An unfinished last line has `isWhole` false. */
export interface ReadLine {
  text: string
  end: number
  isWhole: boolean
}

/** Reads a file line by line, in chunks, so that other work comes in between. */
export async function* readLines(files: Files, path: string): AsyncGenerator<ReadLine> {
  const file = await files.open(path, 'r')
  try {
    let rest = Buffer.alloc(0)
    let offset = 0
    for (;;) {
      const chunk = await file.read(offset + rest.length, CHUNK_BYTES)
      if (chunk.length === 0) break
      rest = Buffer.concat([rest, chunk])
      let start = 0
      for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10, start)) {
        yield { text: rest.toString('utf8', start, at), end: offset + at + 1, isWhole: true }
        start = at + 1
      }
      offset += start
      rest = rest.subarray(start)
    }
    if (rest.length > 0) yield { text: rest.toString('utf8'), end: offset + rest.length, isWhole: false }
  } finally {
    await file.close()
  }
}
