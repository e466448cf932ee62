import type { Alert, NoticeType } from './alert.ts'

/** What is sent to a target: the same facts for all. */
export interface AlertMessage {
  /** Of no other message; the same when it is sent again. */
  delivery: string
  type: NoticeType | 'test'
  cluster: string
  /** ISO 8601. */
  time: string
  /** In a sentence; chat programs show this field. */
  text: string
  alert: {
    id: string
    rule: string
    severity: string
    title: string
    detail: string
    remedy?: string | undefined
    node_id?: string | undefined
    service?: string | undefined
    since: string
  }
}

const MARKS: Readonly<Record<AlertMessage['type'], string>> = {
  fired: 'ALERT',
  escalated: 'WORSE',
  reminder: 'STILL',
  resolved: 'OVER',
  test: 'TEST',
}

export function alertMessage(
  type: AlertMessage['type'],
  alert: Omit<Alert, 'state' | 'seenMs' | 'firedMs'>,
  { cluster, delivery, nowMs }: { cluster: string; delivery: string; nowMs: number },
): AlertMessage {
  const { id, rule, severity, title, detail, remedy, nodeId, service, sinceMs } = alert
  return {
    delivery,
    type,
    cluster,
    time: new Date(nowMs).toISOString(),
    text: `${MARKS[type]}: ${title}`,
    alert: {
      id,
      rule,
      severity,
      title,
      detail,
      ...(remedy !== undefined && { remedy }),
      ...(nodeId !== undefined && { node_id: nodeId }),
      ...(service !== undefined && { service }),
      since: new Date(sinceMs).toISOString(),
    },
  }
}
