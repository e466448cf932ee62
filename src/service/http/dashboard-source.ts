import type { NodeId } from '../../base/identity.ts'
import type {
  AttentionItem,
  CallEdge,
  DashboardMetrics,
  DashboardStats,
  HistoryPoint,
  HistoryRange,
  MachineMetrics,
  ServiceFigures,
  ServicePoint,
} from './dashboard-wire.ts'

/** What one machine last told. */
export interface MachineReading {
  nodeId: NodeId
  metrics: MachineMetrics
}

/** What a coordinator knows of its cluster's machines and services, always in memory. The layer above fits it by its structure. */
export interface DashboardSource {
  metrics(): DashboardMetrics
  stats(): DashboardStats
  /** Of nodes that are members and have reported. */
  machines(): MachineReading[]
  /** Oldest first, at most `points`; undefined for a node that never reported or has left. The first waits for the disk. */
  history(nodeId: NodeId, range: HistoryRange, points: number): Promise<HistoryPoint[] | undefined>
  /** The newest points that are later than `afterMs` (Unix), at most `points`, oldest first. */
  recent(nodeId: NodeId, afterMs: number, points: number): HistoryPoint[]
  services(): ServiceFigures[]
  /** Of its calls on all nodes, as {@link history}; undefined for a service of which no node told. */
  serviceHistory(service: string, range: HistoryRange, points: number): Promise<ServicePoint[] | undefined>
  calls(): CallEdge[]
  attention(): AttentionItem[]
}
