import type { Principal } from '../../base/identity.ts'
import type { MethodCallers } from '../definition/service-spec.ts'

/** Callers that are told of one method; more of them would not make it more in use. */
const CALLERS_MAX = 32
const NAME_LENGTH_MAX = 128

/** Who called the methods of one service since that was asked last. Costs a call next to nothing, and no more memory than its bounds. */
export class CallerNotes {
  #methods = new Map<string, Set<string>>()
  #lastMethod: string | undefined
  #lastCaller: Principal | undefined

  note(method: string, caller: Principal): void {
    if (method === this.#lastMethod && caller === this.#lastCaller) return
    this.#lastMethod = method
    this.#lastCaller = caller
    const name = nameOf(caller)
    if (name === undefined) return
    const noted = this.#methods.get(method)
    if (!noted) this.#methods.set(method, new Set([name]))
    else if (noted.size < CALLERS_MAX) noted.add(name)
  }

  take(): MethodCallers {
    const methods = this.#methods
    if (methods.size > 0) this.#methods = new Map()
    this.#lastMethod = undefined
    return Object.fromEntries([...methods].map(([method, names]) => [method, [...names]]))
  }
}

/** A node that asks by itself, for a health check say, is nobody who needs the method. */
function nameOf(caller: Principal): string | undefined {
  switch (caller.kind) {
    case 'node':
      return caller.service
    case 'person':
      return `person:${caller.name}`.slice(0, NAME_LENGTH_MAX)
    case 'anonymous':
      return undefined
  }
}
