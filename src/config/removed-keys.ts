const IN_VAULT = 'it is kept in the vault'

/**
 * Keys of the Python program that are gone: why, and what to do instead. Refused rather than ignored, so that
 * nobody relies on a setting without effect. Each text completes "removed: …".
 */
export const REMOVED_KEYS: Readonly<Record<string, string>> = {
  adjust_interval_period:
    'the gossip interval adapts at every exchange; set gossip_interval_min and gossip_interval_max',
  cleanup_interval: 'a dead node is forgotten by itself; nothing is to be set',
  compression_enabled: 'use gossip_compression_enabled',
  compression_threshold: 'use gossip_compression_threshold',
  failure_timeout: 'failures are found by probing every second, whatever the size of the cluster; nothing is to be set',
  gossip_interval: 'use gossip_interval_min and gossip_interval_max',
  gossip_interval_current: 'it was a measured value; set gossip_interval_min and gossip_interval_max',
  gossip_state_file: IN_VAULT,
  jwt_blacklist_file: `${IN_VAULT}, under state_directory`,
  jwt_expiration_hours: 'an access token lives as long as its owner asks, twelve hours at most',
  jwt_secret: 'the signing key is made and kept in the vault',
  log_collection_enabled: 'log lines are always collected; limit them with log_retention_days and log_store_max_mb',
  max_gossip_targets: 'how many nodes are told follows from the size of the cluster',
  message_count: 'it was a counter, not a setting; see /metrics',
  scan_interval: 'services are found when the node starts; nothing is to be set',
  service_state_file: IN_VAULT,
  ssl_verify: 'certificates are always verified',
}
