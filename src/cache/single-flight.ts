/** One computation and those who wait for it. */
interface Flight {
  result: Promise<string | undefined>
  controller: AbortController
  waiting: number
}

/**
 * Lets concurrent callers of one address share one computation (no stampede). The computation is aborted once
 * every caller has given up.
 */
export class SingleFlight {
  readonly #flights = new Map<string, Flight>()

  /**
   * Joins the computation of this address, or starts it.
   * @param compute is given the signal of the flight, and `isCurrent`, which turns false when the flight was
   *   forgotten: its result may be out of date and must not be kept
   * @throws what `compute` throws; the reason of `signal`
   */
  async join(
    address: string,
    compute: (signal: AbortSignal, isCurrent: () => boolean) => Promise<string | undefined>,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    signal?.throwIfAborted()
    const flight = this.#flights.get(address) ?? this.#start(address, compute)
    flight.waiting++
    try {
      return await (signal ? untilAborted(flight.result, signal) : flight.result)
    } finally {
      flight.waiting--
      if (flight.waiting === 0 && signal?.aborted) {
        this.#end(address, flight)
        flight.controller.abort(signal.reason)
      }
    }
  }

  /** Callers from now on start anew; those who wait still get the result of the computation under way. */
  forget(address: string): void {
    this.#flights.delete(address)
  }

  forgetAll(prefix: string): void {
    for (const address of this.#flights.keys()) {
      if (address.startsWith(prefix)) this.#flights.delete(address)
    }
  }

  #start(
    address: string,
    compute: (signal: AbortSignal, isCurrent: () => boolean) => Promise<string | undefined>,
  ): Flight {
    const controller = new AbortController()
    const isCurrent = (): boolean => this.#flights.get(address) === flight
    const flight: Flight = { controller, waiting: 0, result: Promise.resolve(undefined) }
    this.#flights.set(address, flight)
    flight.result = compute(controller.signal, isCurrent).finally(() => this.#end(address, flight))
    // Whoever waits sees the failure; when all have given up, nobody is left to tell.
    flight.result.catch(() => {})
    return flight
  }

  #end(address: string, flight: Flight): void {
    if (this.#flights.get(address) === flight) this.#flights.delete(address)
  }
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
