import type { PlanView } from '../session/deployments.ts'
import { type Format, plain } from './style.ts'

const NAME_WIDTH_MAX = 32

type Style = (format: Format, text: string) => string

/** Whether a plan would change anything. */
export function changesAnything({ changes, nodes }: PlanView): boolean {
  return changes.length > 0 || nodes.some(({ from, to, replaces }) => from !== to || replaces)
}

/** A plan like a diff: fields, then nodes, then who would break, warnings, and why it would be refused. */
export function planText(plan: PlanView, style: Style): string {
  return [headLine(plan, style), ...fieldLines(plan, style), ...nodeLines(plan, style), ...remarkLines(plan, style)]
    .map((line) => `${line}\n`)
    .join('')
}

function headLine({ service, from_version: from, to_version: to, ...plan }: PlanView, style: Style): string {
  const name = style('bold', plain(service))
  if (from === undefined) return `${name} ${plain(to)}, new`
  if (from !== to) return `${name} ${plain(from)} -> ${plain(to)}`
  return `${name} ${plain(to)}${changesAnything({ service, to_version: to, ...plan }) ? '' : ': nothing to change'}`
}

function fieldLines({ changes }: PlanView, style: Style): string[] {
  const width = columnWidth(changes.map(({ path }) => path))
  return changes.map(({ path, from, to }) => {
    const name = plain(path).padEnd(width)
    if (from === undefined) return style('green', `  + ${name}  ${plain(to ?? '')}`)
    if (to === undefined) return style('red', `  - ${name}  ${plain(from)}`)
    return style('yellow', `  ~ ${name}  ${plain(from)} -> ${plain(to)}`)
  })
}

function nodeLines({ nodes }: PlanView, style: Style): string[] {
  const changed = nodes.filter(({ from, to, replaces }) => from !== to || replaces)
  if (changed.length === 0) return []
  const width = columnWidth(changed.map(({ node_id: id }) => id))
  return [
    'On the nodes:',
    ...changed.map(({ node_id: id, from, to, replaces }) => {
      const name = plain(id).padEnd(width)
      if (from === 0) return style('green', `  + ${name}  ${instances(to)}`)
      if (to === 0) return style('red', `  - ${name}  ${instances(from)}`)
      const change = from === to ? instances(to) : `${from} -> ${instances(to)}`
      return style('yellow', `  ~ ${name}  ${change}${replaces ? ', replaced' : ''}`)
    }),
  ]
}

/** One long name does not move what stands beside the others. */
function columnWidth(names: readonly string[]): number {
  return Math.min(NAME_WIDTH_MAX, Math.max(0, ...names.map((name) => plain(name).length)))
}

function instances(count: number): string {
  return `${count} ${count === 1 ? 'instance' : 'instances'}`
}

function remarkLines({ incompatible, warnings, refusals }: PlanView, style: Style): string[] {
  return [
    // What nobody calls is among the warnings.
    ...incompatible
      .filter(({ callers }) => callers.length > 0)
      .map(({ method, what, callers }) => {
        const who = callers.map((caller) => plain(caller).replace(/^person:/, '')).join(', ')
        return `${style('yellow', 'breaks:')} ${plain(method)}: ${plain(what)}; called by ${who}`
      }),
    ...warnings.map((text) => `${style('yellow', 'warning:')} ${plain(text)}`),
    ...refusals.map(
      ({ code, message }) => `${style('red', 'refused:')} ${plain(message)} ${style('dim', `(${code})`)}`,
    ),
  ]
}
