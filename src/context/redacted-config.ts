import type { NodeConfig } from '../config/index.ts'

/** The configuration as others may see it: without what a URL may carry, and without the paths of the machine's files. */
export function redactedConfig(config: NodeConfig): Record<string, unknown> {
  const {
    redisUrl,
    file: _file,
    homeDirectory: _home,
    storagePath: _storage,
    plotFile: _plot,
    alerts,
    oidc,
    ...shown
  } = config
  const { webhooks, email, script } = alerts
  return {
    ...shown,
    redisUrl: redisUrl === undefined ? undefined : hostOf(redisUrl),
    oidc: oidc?.issuer,
    // The path of a webhook is often its secret.
    alerts: { webhooks: webhooks.map(({ url }) => hostOf(url)), email: email?.host, script: script !== undefined },
  }
}

function hostOf(url: string): string {
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}`
}
