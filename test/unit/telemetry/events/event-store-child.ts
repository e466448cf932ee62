import { systemClock, systemFiles } from '../../../../src/platform/index.ts'
import { createEventStore, storeThreads } from '../../../../src/telemetry/coordinator/index.ts'
import { silentLogger } from '../../../../src/base/log.ts'

/* Stores events as fast as it can and writes the id of each one it was shown, until it is killed. */

const store = createEventStore(
  {
    clock: systemClock,
    files: systemFiles,
    log: silentLogger,
    openThread: storeThreads(new URL('../../../../src/telemetry/logs/thread/main.ts', import.meta.url)),
  },
  { directory: process.argv[2] as string },
)
await store.start(new AbortController().signal)
const signal = AbortSignal.timeout(20_000)
const tell = (): void => store.record({ timeMs: Date.now(), kind: 'deploy', severity: 'info', title: 'an event' })
const shown = store.subscribe({}, { signal })
tell()
for await (const events of shown) {
  process.stdout.write(events.map(({ id }) => `${id}\n`).join(''))
  for (let i = 0; i < 10; i++) tell()
}
