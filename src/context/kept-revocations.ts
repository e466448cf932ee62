import type { Component } from '../base/component.ts'
import { type ControlStore, getJson, jsonValue, put } from '../base/control-store.ts'
import type { Logger } from '../base/log.ts'
import type { MemberRevocations } from '../network/index.ts'

const KEY = 'certs/revoked'
/** The latest; what was revoked longer ago has expired, or a coordinator says it again. */
const KEPT_MAX = 3_000

/** The serials that a worker knew to be revoked when its process ended. */
export async function knownRevocations(store: ControlStore): Promise<string[]> {
  return (await getJson<string[]>(store, KEY)) ?? []
}

/** Keeps them, so that a worker that starts while no coordinator is there lets nobody in who was shut out before. */
export function keepRevocations(store: ControlStore, revocations: MemberRevocations, log: Logger): Component {
  let unlisten: (() => void) | undefined
  let last: Promise<unknown> = Promise.resolve()
  return {
    name: 'kept revocations',
    async start() {
      unlisten = revocations.onChange(() => {
        last = last
          .then(() => put(store, KEY, jsonValue(revocations.serials().slice(-KEPT_MAX))))
          .catch((error: unknown) => log.error('Revocations could not be kept', { error }))
      })
    },
    async stop() {
      unlisten?.()
      await last
    },
  }
}
