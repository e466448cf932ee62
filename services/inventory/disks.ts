import { readdir, readFile, statfs } from 'node:fs/promises'
import { z } from 'p2p-core/service'

export const Disks = z.object({
  disks: z.array(
    z.object({
      mount: z.string(),
      device: z.string(),
      type: z.string(),
      total_bytes: z.number(),
      free_bytes: z.number().describe('What an ordinary user may still fill'),
      used_percent: z.number(),
    }),
  ),
  remote: z
    .array(z.object({ mount: z.string(), device: z.string(), type: z.string() }))
    .describe('Network file systems: not measured, because a server that is away would block this node'),
})

interface Mount {
  mount: string
  device: string
  type: string
}

const MOUNTS_MAX = 256
const REMOTE_TYPE = /^(?:nfs\d?|cifs|smb\w*|afs|ceph|glusterfs|9p|davfs|fuse\..*|autofs)$/
/** File systems that lie on a disk of this machine. */
const LOCAL_TYPE =
  /^(?:ext[234]|xfs|btrfs|zfs|f2fs|jfs|reiserfs|bcachefs|vfat|exfat|ntfs\d?|apfs|hfs|ufs|iso9660|fuseblk|overlay)$/

/** The file systems of this machine and how full they are. */
export async function disks(): Promise<z.infer<typeof Disks>> {
  const mounts = (await listMounts()).slice(0, MOUNTS_MAX)
  const isRemote = ({ type }: Mount): boolean => REMOTE_TYPE.test(type)
  const measured = await Promise.all(mounts.filter((mount) => !isRemote(mount)).map(measure))
  return { disks: measured.filter((disk) => disk !== undefined), remote: mounts.filter(isRemote) }
}

async function measure(mount: Mount) {
  try {
    const { bsize, blocks, bavail, bfree } = await statfs(mount.mount)
    if (blocks === 0) return undefined
    // As df: what is reserved for the system counts neither as used nor as free.
    const usedPercent = (100 * (blocks - bfree)) / (blocks - bfree + bavail)
    const figures = { total_bytes: blocks * bsize, free_bytes: bavail * bsize }
    return { ...mount, ...figures, used_percent: Math.round(usedPercent * 10) / 10 }
  } catch {
    // Unmounted in between, or not ours to see.
    return undefined
  }
}

const DRIVE_LETTERS = Array.from('CDEFGHIJKLMNOPQRSTUVWXYZ')

/** Node tells mounts on no system: Linux has a file for it, elsewhere the usual places are tried. */
async function listMounts(): Promise<Mount[]> {
  if (process.platform === 'linux') return parseMounts(await readFile('/proc/self/mounts', 'utf8'))
  if (process.platform === 'win32') {
    return DRIVE_LETTERS.map((letter) => ({ mount: `${letter}:\\`, device: `${letter}:`, type: 'drive' }))
  }
  if (process.platform !== 'darwin') return [{ mount: '/', device: '/', type: 'root' }]
  const volumes = await readdir('/Volumes')
  return ['/', ...volumes.map((name) => `/Volumes/${name}`)].map((mount) => ({ mount, device: mount, type: 'volume' }))
}

/** Disks and network file systems in /proc/self/mounts (proc_mounts(5)); a device mounted twice counts once. */
export function parseMounts(text: string): Mount[] {
  const byDevice = new Map<string, Mount>()
  for (const line of text.split('\n')) {
    const [device = '', mount = '', type = ''] = line.split(' ').map(unescapeOctal)
    if (!LOCAL_TYPE.test(type) && !REMOTE_TYPE.test(type)) continue
    // Bind mounts repeat a device under other paths; the shortest path is the real one.
    const key = type === 'overlay' ? mount : device
    const known = byDevice.get(key)
    if (!known || mount.length < known.mount.length) byDevice.set(key, { mount, device, type })
  }
  return [...byDevice.values()]
}

/** Blanks and the like are written as `\040`. */
function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
