import { hostname } from 'node:os'
import type { Logger } from '../base/log.ts'
import { VERSION } from '../base/version.ts'
import type { NodeConfig } from '../config/index.ts'
import { createHttpPost, systemClock, systemRandom } from '../platform/index.ts'
import { currentTraceId } from '../service/index.ts'
import { createOtlpExporter, type OtlpExporter } from '../telemetry/index.ts'

/**
 * What tells an OpenTelemetry collector of this node; undefined where none is configured.
 * @param headers `Name=value,Name=value`, as OTEL_EXPORTER_OTLP_HEADERS has them: values percent-encoded
 */
export function otlpExporterOf(
  config: NodeConfig,
  headers: string | undefined,
  log: () => Logger,
): OtlpExporter | undefined {
  const { otlp, nodeId, role } = config
  if (!otlp) return undefined
  const { endpoint, metricsEveryMs, traceRatio } = otlp
  return createOtlpExporter(
    {
      clock: systemClock,
      random: systemRandom,
      log,
      traceId: currentTraceId,
      post: createHttpPost(endpoint, headersOf(headers ?? '')),
    },
    { nodeId, role, softwareVersion: VERSION, hostname: hostname(), metricsEveryMs, traceRatio },
  )
}

/** Pairs that are none are left out: their text may be a secret, so nothing is said of it. */
export function headersOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => /^\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*(.*?)\s*$/.exec(pair))
  return Object.fromEntries(
    pairs.flatMap((pair): [string, string][] => {
      const value = decoded(pair?.[2] ?? '')
      return pair?.[1] !== undefined && /^[\t\x20-\x7e]+$/.test(value) ? [[pair[1].toLowerCase(), value]] : []
    }),
  )
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
