import { controlStoreSuite } from '../../contract/control-store.ts'
import { openVault, settle, world } from './support.ts'

controlStoreSuite('The vault', async () => {
  const w = world()
  const vault = await openVault(w)
  return {
    store: vault.store,
    passTime: async (ms) => {
      w.clock.advance(ms)
      await settle()
    },
    close: () => vault.stop(),
  }
})
