import { Link } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import type { CallEdge, ClusterNode } from '../api/types.ts'
import { amount, percent } from './format.ts'
import { Mark, toneOf } from './state.tsx'

/** With more nodes than this the map shows names only, then only marks. */
const FIGURES_UP_TO = 12
const NAMES_UP_TO = 28
/** The busiest edges; more could not be told apart. */
const EDGES_MAX = 120
const CHIP_PX = { width: 184, height: 34 }
const NARROW_PX = 520

interface Place {
  node: ClusterNode
  x: number
  y: number
}

/** Every node on a ring, and the calls between them as lines that flow from caller to callee, broader the more there are. */
export function ClusterMap(props: {
  nodes: readonly ClusterNode[]
  calls: readonly CallEdge[]
  cpuOf: (nodeId: string) => number | undefined
}) {
  const { nodes, calls, cpuOf } = props
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  const [chosen, setChosen] = useState<string>()
  useEffect(() => {
    const element = box.current
    if (!element) return
    const resized = new ResizeObserver(() => setWidth(element.clientWidth))
    resized.observe(element)
    return () => resized.disconnect()
  }, [])

  const detail = nodes.length <= FIGURES_UP_TO ? 'figures' : nodes.length <= NAMES_UP_TO ? 'names' : 'marks'
  const height = heightFor(nodes.length, width)
  const places = placesOf(nodes, { width, height, detail })
  const byId = new Map(places.map((place) => [place.node.node_id, place]))
  const edges = calls.slice(0, EDGES_MAX).flatMap((call) => {
    const [from, to] = [byId.get(call.from), byId.get(call.to)]
    return from && to && from !== to ? [{ ...call, path: curve(from, to, { width, height }) }] : []
  })
  const isDim = ({ from, to }: CallEdge): boolean => chosen !== undefined && chosen !== from && chosen !== to
  return (
    <div
      ref={box}
      className={`map map-${detail}`}
      style={{ height }}
      role="group"
      aria-label="Map of the nodes and the calls between them"
    >
      {width > 0 && (
        <>
          <svg width={width} height={height} aria-hidden>
            {edges.map((edge) => (
              <g key={`${edge.from} ${edge.to}`} className={isDim(edge) ? 'edge edge-dim' : 'edge'}>
                <path d={edge.path} strokeWidth={broadness(edge.calls_per_s)} className="edge-line" />
                {edge.calls_per_s > 0 && <path d={edge.path} className="edge-flow" />}
              </g>
            ))}
          </svg>
          {places.map(({ node, x, y }) => (
            <Link
              key={node.node_id}
              to="/nodes/$nodeId"
              params={{ nodeId: node.node_id }}
              className={`chip chip-${toneOf(node.status)}`}
              style={{ left: x, top: y }}
              title={`${node.node_id}, ${node.role}, ${node.status}`}
              aria-label={`${node.node_id}, ${node.role}, ${node.status}`}
              data-role={node.role}
              onMouseEnter={() => setChosen(node.node_id)}
              onMouseLeave={() => setChosen(undefined)}
              onFocus={() => setChosen(node.node_id)}
              onBlur={() => setChosen(undefined)}
            >
              <Mark tone={toneOf(node.status)} />
              {detail !== 'marks' && <b>{node.node_id}</b>}
              {detail === 'figures' && width >= NARROW_PX && (
                <span className="muted small chip-figure">
                  {node.status === 'alive' ? percent(cpuOf(node.node_id)) : node.status}
                </span>
              )}
            </Link>
          ))}
        </>
      )}
    </div>
  )
}

/** The busiest connections, as text. */
export function CallList({ calls }: { calls: readonly CallEdge[] }) {
  const shown = calls.filter(({ calls_per_s: rate }) => rate > 0).slice(0, 8)
  return (
    <div className="call-list">
      <h3 className="muted small">Calls between nodes, per second</h3>
      {shown.length === 0 ? (
        <p className="muted small">None right now. What P2P Core calls for itself is left out.</p>
      ) : (
        <table className="calls">
          <thead className="hidden-text">
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col">Calls per second</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ from, to, calls_per_s: rate }) => (
              <tr key={`${from} ${to}`}>
                <td title={from}>{from}</td>
                <td title={to}>
                  <span className="muted" aria-hidden>
                    →{' '}
                  </span>
                  {to}
                </td>
                <td className="num">{amount(rate)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  )
}

function heightFor(count: number, width: number): number {
  if (width < NARROW_PX) return Math.min(440, 220 + count * 16)
  return Math.min(420, 250 + count * 12)
}

/** On an ellipse, coordinators first from the top on, then by name: neighbours in a rack are neighbours here. */
function placesOf(
  nodes: readonly ClusterNode[],
  { width, height, detail }: { width: number; height: number; detail: string },
): Place[] {
  const margin = detail === 'marks' ? 20 : Math.min(CHIP_PX.width / 2 + 16, width / 4)
  const [rx, ry] = [Math.min(width / 2 - margin, height * 1.1), height / 2 - CHIP_PX.height / 2 - 14]
  const ordered = [...nodes].sort((a, b) => Number(b.role === 'coordinator') - Number(a.role === 'coordinator'))
  const angles = ordered.map((_, index) => (2 * Math.PI * index) / ordered.length - Math.PI / 2)
  // Three nodes leave the lower part of the ring empty: what there is takes the whole height.
  const lowest = Math.max(...angles.map(Math.sin))
  return ordered.map((node, index) => {
    const [cos, sin] = [Math.cos(angles[index] ?? 0), Math.sin(angles[index] ?? 0)]
    return { node, x: width / 2 + rx * cos, y: height / 2 + ry * (((sin + 1) / (lowest + 1)) * 2 - 1) }
  })
}

/** From caller to callee, bent towards the middle; the way back runs beside it. */
function curve(from: Place, to: Place, { width, height }: { width: number; height: number }): string {
  const [mx, my] = [(from.x + to.x) / 2, (from.y + to.y) / 2]
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1
  const aside = 16
  const x = mx + (width / 2 - mx) * 0.25 - ((to.y - from.y) / length) * aside
  const y = my + (height / 2 - my) * 0.25 + ((to.x - from.x) / length) * aside
  const round = (value: number): string => value.toFixed(1)
  return `M${round(from.x)} ${round(from.y)}Q${round(x)} ${round(y)} ${round(to.x)} ${round(to.y)}`
}

/** 1 px for a call now and then, 6 px for tens of thousands a second. */
function broadness(callsPerS: number): number {
  return Math.min(6, 1 + Math.log10(1 + callsPerS) * 1.1)
}
