/** How the log lines of this node, and on a coordinator of all nodes, are on their way; counts since the start. */
export interface LogStats {
  /** Lines of this node that no coordinator has acknowledged. */
  spool: { waiting: number; bytesOnDisk: number; lost: number }
  /** On a coordinator. */
  store?: {
    /** Lines that are kept. */
    total: number
    added: number
    duplicates: number
    lost: number
    removed: number
    isFailing: boolean
  }
}

/** Open dashboards of this node. */
export interface DashboardCounts {
  open: number
  /** Cut because they read too slowly, since the start. */
  cut: number
}
