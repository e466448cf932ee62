import { createContext, useContext, useEffect, useSyncExternalStore } from 'react'
import type { Session } from '../api/session.ts'
import type { LogLine } from '../api/types.ts'
import type { ClusterView } from './cluster-view.ts'
import type { LiveCluster } from './live-cluster.ts'
import type { LogFilter } from './log-filter.ts'

/** What every page stands on. */
export interface Live {
  cluster: LiveCluster
  session: Session
  /** Ends the session and shows the login. */
  logout: () => void
}

export const LiveContext = createContext<Live | undefined>(undefined)

/** @throws outside a session */
export function useLive(): Live {
  const live = useContext(LiveContext)
  if (!live) throw new Error('used outside a session')
  return live
}

/** A part of the cluster's view. `select` must answer the same object while its part is the same. */
export function useCluster<T>(select: (view: ClusterView) => T): T {
  const { cluster } = useLive()
  return useSyncExternalStore(cluster.subscribe, () => select(cluster.view))
}

/** The log's lines that the filter lets through, live while the caller is shown. Oldest first. */
export function useLogLines(filter: LogFilter): { lines: readonly LogLine[]; version: number } {
  const { cluster } = useLive()
  const version = useSyncExternalStore(cluster.subscribe, () => cluster.logs.version)
  useEffect(() => cluster.readLogs(filter), [cluster, filter])
  return { lines: cluster.logs.lines, version }
}
