import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { askLogs } from '../live/ask-routes.ts'
import { choiceOf, NO_FILTER } from '../live/log-filter.ts'
import { useFilteredLines } from '../live/use-filtered-lines.ts'
import { useLive } from '../live/use-live.ts'
import { Empty } from './empty.tsx'
import { LogView } from './log-view.tsx'
import { Section } from './section.tsx'

const EARLIER_LINES = 200

/** The last lines of one node, going on. */
export function ShortLog({ title, nodeId }: { title: string; nodeId: string }) {
  const { cluster } = useLive()
  const [isFollowing, setFollowing] = useState(true)
  const filter = useMemo(() => ({ ...NO_FILTER, nodeId }), [nodeId])
  useQuery({
    queryKey: ['lines', nodeId],
    queryFn: async ({ signal }) => {
      const query = new URLSearchParams({ ...choiceOf(filter), limit: String(EARLIER_LINES) })
      return cluster.logs.add((await askLogs(query, signal)).logs)
    },
    staleTime: 0,
    gcTime: 0,
  })
  const { lines, version } = useFilteredLines(filter)
  return (
    <Section
      title={title}
      actions={
        <Link to="/logs" search={{ node: nodeId }} className="muted">
          All its lines
        </Link>
      }
    >
      {lines.length === 0 ? (
        <div className="panel">
          <Empty title="No lines yet">They appear here as the node writes them.</Empty>
        </div>
      ) : (
        <LogView
          className="log-short"
          lines={lines}
          version={version}
          isFollowing={isFollowing}
          onFollow={setFollowing}
        />
      )}
    </Section>
  )
}
