import { DeployError } from '../../base/errors.ts'
import type { SecretStore } from '../secrets/secret-store.ts'
import type { SecretFacts, Secrets } from '../../base/secrets.ts'
import type { Reconciler } from './reconciler.ts'
import type { StoredOrchestrator } from './stored-orchestrator.ts'

/** Secrets together with the services that use them. */
export class ManagedSecrets implements Secrets {
  readonly #store: SecretStore
  readonly #orchestrator: StoredOrchestrator
  readonly #reconciler: Reconciler

  constructor(store: SecretStore, orchestrator: StoredOrchestrator, reconciler: Reconciler) {
    this.#store = store
    this.#orchestrator = orchestrator
    this.#reconciler = reconciler
  }

  list(): SecretFacts[] {
    return this.#store.facts().map((facts) => ({ ...facts, usedBy: this.#orchestrator.usersOf(facts.name) }))
  }

  set(name: string, value: string, by: string): Promise<SecretFacts> {
    return this.#reconciler.inTurn(async () => {
      const facts = await this.#store.set(name, value, by)
      await this.#orchestrator.renewSecret(name, by)
      return { ...facts, usedBy: this.#orchestrator.usersOf(name) }
    })
  }

  delete(name: string, by: string): Promise<void> {
    return this.#reconciler.inTurn(async () => {
      const users = this.#orchestrator.usersOf(name)
      if (users.length > 0) {
        const message = `Secret ${name} is used by ${users.join(', ')}: remove or change ${users.length > 1 ? 'them' : 'it'} first`
        throw new DeployError('P2P_DEPLOY_REFUSED', message, { name, used_by: users })
      }
      await this.#store.delete(name, by)
    })
  }
}
