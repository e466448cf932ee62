import { type ControlStore, getJson, jsonValue, put } from '../base/control-store.ts'

const KEY = 'services/stopped'

/** Names of this node's services that a person stopped, in its vault: they stay so when the node is started again. */
export function stoppedServices(store: ControlStore): {
  load(): Promise<string[]>
  save(names: readonly string[]): Promise<void>
} {
  return {
    load: async () => (await getJson<string[]>(store, KEY)) ?? [],
    async save(names) {
      await put(store, KEY, jsonValue(names))
    },
  }
}
