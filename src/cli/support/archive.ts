import { buffer } from 'node:stream/consumers'
import { createGzip } from 'node:zlib'
import type { BundleFile } from './bundle-parts.ts'

/** A gzip-compressed tar archive (POSIX ustar) of the files, all in one folder. */
export async function archiveOf(folder: string, files: readonly BundleFile[], modifiedMs: number): Promise<Buffer> {
  const { pack } = await import('tar-stream')
  const archive = pack()
  const packed = buffer(archive.pipe(createGzip()))
  for (const { name, text } of files) {
    archive.entry({ name: `${folder}/${name}`, mode: 0o600, mtime: new Date(modifiedMs) }, text)
  }
  archive.finalize()
  return packed
}
