import type { TimelineEvent } from '../../../base/timeline.ts'
import type { WhyAnswer } from '../../../service/index.ts'
import { person } from '../deployment-happenings.ts'
import { type Cause, kindOfReason, spanText } from './cause.ts'
import { answerOf } from './why-answer.ts'
import type { ServiceWhyFacts } from './why-facts.ts'

/** Trouble that is over is told for so long. */
const PAST_TROUBLE_MS = 24 * 3_600_000
/** An end of an instance that followed another within this belongs to the same trouble. */
const SAME_TROUBLE_MS = 10 * 60_000
/** So many ends within that are no accident. */
const ENDS = 2
/** What is told about one failure comes within this. */
const SAME_FAILURE_MS = 60_000
/** A failure so soon after a deployment has to do with it. */
const AFTER_DEPLOY_MS = 10 * 60_000

/** Why a service is as it is. */
export function whyService(facts: ServiceWhyFacts): WhyAnswer {
  const subject = { kind: 'service', name: facts.name } as const
  const { name, deployment } = facts
  if (deployment?.isStopped) {
    const stop = facts.events.find(
      ({ kind, service, title }) => kind === 'deploy' && service === name && title.includes(' stopped '),
    )
    const text = stop?.title ?? `${person(deployment.by)} stopped ${name}`
    return answerOf(
      subject,
      { state: 'stopped', sentences: [`${name} does not run: it was stopped`] },
      { what: 'stopped', text, sinceMs: stop?.timeMs },
      facts,
    )
  }
  const ends = endsLately(facts)
  const state = stateOf(facts, ends)
  const sentences = [presentState(facts)]
  if (deployment?.change) {
    const { waitsBecause: why } = deployment.change
    sentences.push(
      `A change of it is on its way to version ${deployment.version}${why === undefined ? '' : `; ${why}`}`,
    )
  }
  if (ends >= ENDS) sentences.push(`It ended ${ends} times within ${spanText(SAME_TROUBLE_MS)}`)
  if (state !== 'well') {
    const cause = presentCause(facts)
    const deploy = cause && deployBefore(facts, cause)
    if (deploy) {
      sentences.push(`It began ${spanText(deploy.beganMs - deploy.event.timeMs)} after this: ${deploy.event.title}`)
    }
    return answerOf(subject, { state, sentences }, cause, facts, { background: deploy?.event })
  }
  const last = troubleOf(facts.events, name)
  if (!last || facts.nowMs - last.timeMs >= PAST_TROUBLE_MS) {
    return answerOf(
      subject,
      { state, sentences: [...sentences, 'Nothing went wrong in the last 24 hours'] },
      undefined,
      facts,
    )
  }
  sentences.push(`It last had trouble ${spanText(facts.nowMs - last.timeMs)} ago`)
  return answerOf(subject, { state, sentences }, causeOfEvent(last), facts)
}

function stateOf({ wanted, running, healthy, failing }: ServiceWhyFacts, ends: number): 'well' | 'degraded' | 'down' {
  if (wanted === 0 && failing.length === 0) return 'well'
  if (healthy === 0) return 'down'
  return ends >= ENDS || running < wanted || healthy < running || failing.length > 0 ? 'degraded' : 'well'
}

function presentState({ name, wanted, running, healthy, nodes, failing }: ServiceWhyFacts): string {
  const counts =
    wanted === 0 && running === 0 ? 'no instance of it is wanted' : `${healthy} of ${wanted} run and are healthy`
  const ill = running > healthy ? `, ${running - healthy} ${running - healthy === 1 ? 'is' : 'are'} not healthy` : ''
  const places = [...new Set(failing.map(({ nodeId }) => nodeId))]
  const where = places.length > 0 ? ` (on ${places.join(', ')})` : ''
  const dead = nodes.filter(({ status }) => status === 'dead').map(({ nodeId }) => nodeId)
  const lost =
    dead.length === 0 ? '' : `; ${dead.join(', ')}, where it ran, ${dead.length === 1 ? 'does' : 'do'} not answer`
  return `${name}: ${counts}${ill}${where}${lost}`
}

/** What is wrong now: its own word first, then the last trouble on the timeline, then what the planner says. */
function presentCause(facts: ServiceWhyFacts): Cause | undefined {
  const { failing, events, name, nodes, deployment, lines } = facts
  const trouble = troubleOf(events, name)
  const [first] = failing.filter(({ reason }) => reason !== undefined)
  if (first?.reason !== undefined) {
    const told = events.find((event) => isTrouble(event, name) && event.nodeId === first.nodeId)
    // An instance that was given up says that; how it ended before says more.
    const what = kindOfReason(first.reason) ?? (told?.detail === undefined ? undefined : kindOfReason(told.detail))
    return { what: what ?? 'exit', text: `On ${first.nodeId}: ${first.reason}`, sinceMs: told?.timeMs }
  }
  const isLost = nodes.some(({ status }) => status === 'dead')
  const death = isLost ? events.find(isDeath) : undefined
  if (death && (!trouble || death.timeMs >= trouble.timeMs)) return causeOfEvent(death)
  if (trouble) return causeOfEvent(trouble)
  if (death) return causeOfEvent(death)
  const [problem] = deployment?.problems ?? []
  if (problem !== undefined) return { what: kindOfReason(problem) ?? 'placement', text: problem }
  const error = lines.find(({ level }) => level === 'ERROR' || level === 'CRITICAL')
  return (
    error && {
      what: kindOfReason(error.message) ?? 'errors',
      text: `${error.nodeId} logged: ${error.message}`,
      sinceMs: error.timeMs,
    }
  )
}

/** The deployment that the trouble may come from: one right before the first of the failures that follow each other. */
function deployBefore(
  { events, name }: ServiceWhyFacts,
  { sinceMs, what }: Cause,
): { event: TimelineEvent; beganMs: number } | undefined {
  if (sinceMs === undefined || what === 'deploy' || what === 'node') return undefined
  let beganMs = sinceMs
  for (const event of events) {
    const isBefore = event.timeMs < beganMs && beganMs - event.timeMs < SAME_TROUBLE_MS
    if (isBefore && isTrouble(event, name)) beganMs = event.timeMs
  }
  const event = events.find(
    ({ kind, service, severity, title, timeMs }) =>
      kind === 'deploy' &&
      service === name &&
      severity === 'info' &&
      !title.endsWith(' is deployed') &&
      timeMs <= beganMs &&
      beganMs - timeMs < AFTER_DEPLOY_MS,
  )
  return event && { event, beganMs }
}

/** The latest trouble, where several events tell of it the one that says why. */
function troubleOf(events: readonly TimelineEvent[], name: string): TimelineEvent | undefined {
  const [last, ...others] = events.filter((event) => isTrouble(event, name))
  if (!last || last.detail !== undefined) return last
  return others.find(({ timeMs, detail }) => detail !== undefined && last.timeMs - timeMs < SAME_FAILURE_MS) ?? last
}

/** How often instances ended by themselves within the last minutes. */
function endsLately({ events, name, nowMs }: ServiceWhyFacts): number {
  return events.filter(
    ({ kind, service, title, timeMs }) =>
      kind === 'health' && service === name && title.startsWith(`${name} ended `) && nowMs - timeMs < SAME_TROUBLE_MS,
  ).length
}

function isTrouble({ kind, service, severity }: TimelineEvent, name: string): boolean {
  return service === name && severity !== 'info' && (kind === 'health' || kind === 'deploy')
}

function isDeath({ kind, severity, title }: TimelineEvent): boolean {
  return kind === 'member' && severity === 'error' && title.includes('does not answer')
}

function causeOfEvent(event: TimelineEvent): Cause {
  const { kind, title, detail, timeMs } = event
  const text = detail === undefined ? title : `${title}: ${detail}`
  if (isDeath(event)) return { what: 'node', text, sinceMs: timeMs }
  const told = detail === undefined ? undefined : kindOfReason(detail)
  return { what: told ?? (kind === 'deploy' ? 'deploy' : 'exit'), text, sinceMs: timeMs }
}
