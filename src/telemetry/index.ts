export { BATCH_LINES_MAX, MESSAGE_CHARACTERS_MAX } from './logs/limits.ts'
export { lineMatcher } from './logs/line-filter.ts'
export { boundedFields, boundedText, traceOf } from './logs/line-text.ts'
export { createLogShipper, type LogShipperNeeds, type LogShipperOptions } from './logs/log-shipper.ts'
export {
  createLogSpool,
  type LogSpool,
  type LogSpoolNeeds,
  type LogSpoolOptions,
  type SpoolStats,
} from './logs/log-spool.ts'
export type { LogStore, LogStoreStats, ReceivedBatch } from './logs/log-store.ts'
export { createMetricFiles, type MetricFilesNeeds } from './metrics/metric-files.ts'
export { type ClusterMetrics, type ClusterMetricsNeeds, createClusterMetrics } from './metrics/cluster-metrics.ts'
export {
  createMachineSampler,
  type IoSource,
  type MachineSampler,
  type MachineSamplerNeeds,
  type MachineSource,
} from './metrics/machine-sampler.ts'
export { createMetricsDashboardService, type MetricsDashboardNeeds } from './metrics/metrics-dashboard.ts'
export {
  createMetricsReporter,
  type MetricsReporter,
  type MetricsReporterNeeds,
  type MetricsReporterOptions,
} from './metrics/metrics-reporter.ts'
export type { NodeMetricsSource } from './otlp/node-metrics.ts'
export {
  createOtlpExporter,
  type OtlpExporter,
  type OtlpExporterNeeds,
  type OtlpExporterOptions,
} from './otlp/otlp-exporter.ts'
