import type { NodeConfig } from '../config/index.ts'

/** The configuration as others may see it: without what a URL may carry, and without the paths of the machine's files. */
export function redactedConfig(config: NodeConfig): Record<string, unknown> {
  const { redisUrl, file: _file, homeDirectory: _home, storagePath: _storage, plotFile: _plot, ...shown } = config
  return { ...shown, redisUrl: redisUrl === undefined ? undefined : hostOf(redisUrl) }
}

function hostOf(url: string): string {
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}`
}
