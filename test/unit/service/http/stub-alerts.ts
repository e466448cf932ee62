import type { AlertsApi, SilenceRequest } from '../../../../src/service/index.ts'

/** One alert fires, one silence holds, one target is told. */
export class StubAlerts implements AlertsApi {
  readonly asked: unknown[] = []
  readonly listeners = new Set<() => void>()
  title = 'Node worker-1 does not answer'

  list() {
    const time = '2026-01-02T03:04:05.000Z'
    const alert = {
      id: 'node/worker-1',
      rule: 'node',
      state: 'firing' as const,
      severity: 'error' as const,
      title: this.title,
      detail: 'Nobody reaches it.',
      since: time,
      fired_at: time,
      is_flapping: false,
    }
    return { alerts: [alert], silences: [], targets: [{ name: 'webhook a.example', waiting: 0, lost: 0 }] }
  }

  onChange(listener: () => void) {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  async acknowledge(id: string, by: string, note: string | undefined): Promise<boolean> {
    this.asked.push({ id, by, note })
    return id === 'node/worker-1'
  }

  async silence({ until, ...request }: SilenceRequest, by: string) {
    this.asked.push({ ...request, by })
    return { id: 's1', ...request, until: new Date(until).toISOString(), by }
  }

  async endSilence(id: string): Promise<boolean> {
    return id === 's1'
  }

  async test(target: string | undefined) {
    this.asked.push({ target })
    return { results: [{ target: 'webhook a.example', sent: true, duration_ms: 3 }] }
  }
}
