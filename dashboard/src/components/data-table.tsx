import { type ReactNode, useState } from 'react'

/** A column: how a cell looks, and by what it is sorted where it can be. */
export interface Column<T> {
  title: string
  cell: (row: T) => ReactNode
  sortBy?: (row: T) => string | number
  /** Right-aligned; `wide`: left out on a phone; `grow`: takes what room is left. */
  kind?: string
}

/** Rows under columns that sort at a click. */
export function DataTable<T>(props: {
  label: string
  columns: Column<T>[]
  rows: readonly T[]
  keyOf: (row: T) => string
  empty: ReactNode
}) {
  const [order, setOrder] = useState<{ column: number; isDown: boolean }>()
  if (props.rows.length === 0) return <div className="panel">{props.empty}</div>
  const rows = order ? sorted(props.rows, props.columns[order.column], order.isDown) : props.rows
  return (
    <div className="panel table-scroll" tabIndex={0} role="region" aria-label={props.label}>
      <table className="table">
        <thead>
          <tr>
            {props.columns.map((column, index) => (
              <th
                key={column.title || index}
                scope="col"
                className={column.kind}
                aria-sort={order?.column === index ? (order.isDown ? 'descending' : 'ascending') : undefined}
              >
                {column.sortBy ? (
                  <button
                    type="button"
                    className="sort"
                    onClick={() => setOrder({ column: index, isDown: order?.column === index && !order.isDown })}
                  >
                    {column.title}
                    {order?.column === index && (order.isDown ? ' ↓' : ' ↑')}
                  </button>
                ) : column.title === '' ? (
                  <span className="hidden-text">Actions</span>
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={props.keyOf(row)}>
              {props.columns.map((column, index) => (
                <td key={column.title || index} className={column.kind}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function sorted<T>(rows: readonly T[], column: Column<T> | undefined, isDown: boolean): T[] {
  const by = column?.sortBy
  if (!by) return [...rows]
  const sign = isDown ? -1 : 1
  return [...rows].sort((a, b) => {
    const [x, y] = [by(a), by(b)]
    if (typeof x === 'number' && typeof y === 'number') return sign * (x - y)
    return sign * String(x).localeCompare(String(y), 'en', { numeric: true })
  })
}
