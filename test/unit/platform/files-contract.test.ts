import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemFiles } from '../../../src/platform/index.ts'
import { SimulatedDisk, SimulatedRandom } from '../../../src/testing/index.ts'
import { filesContract } from '../../contract/files.ts'

filesContract('system files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'p2p-files-'))
  return { files: systemFiles, directory, close: () => rm(directory, { recursive: true, force: true }) }
})

filesContract('simulated disk', async () => {
  return { files: new SimulatedDisk(new SimulatedRandom(1)), directory: '/data', close: async () => {} }
})
