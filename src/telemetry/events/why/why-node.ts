import type { LogLine } from '../../../base/log-line.ts'
import type { TimelineEvent } from '../../../base/timeline.ts'
import type { AttentionItem, WhyAnswer } from '../../../service/index.ts'
import { type Cause, kindOfReason, spanText } from './cause.ts'
import { answerOf } from './why-answer.ts'
import type { NodeWhyFacts } from './why-facts.ts'

/** What a node logged so shortly before it went silent has to do with it. */
const LAST_WORDS_MS = 60_000
const PAST_TROUBLE_MS = 24 * 3_600_000
/** A death so soon after another program has to do with it. */
const AFTER_CHANGE_MS = 10 * 60_000
/** What a node needs so long after a start to be called new. */
const JUST_STARTED_MS = 10 * 60_000

/** Why a node is as it is. */
export function whyNode(facts: NodeWhyFacts): WhyAnswer {
  const { name, status, sinceMs, nowMs } = facts
  const subject = { kind: 'node', name } as const
  const since = spanText(nowMs - sinceMs)
  switch (status) {
    case 'left':
      return answerOf(
        subject,
        { state: 'stopped', sentences: [`${name} was stopped ${since} ago and said so`] },
        {
          what: 'stopped',
          text: `${name} left the cluster in order: somebody stopped it, or its machine was shut down`,
          sinceMs,
        },
        facts,
        { remedy: `Start it when it should run: p2p --config FILE, or its unit, on ${name}.` },
      )
    case 'dead': {
      const sentences = [`No member of the cluster has reached ${name} for ${since}`]
      const change = programChange(facts)
      if (change) sentences.push(`That began ${spanText(sinceMs - change.timeMs)} after this: ${change.title}`)
      return answerOf(subject, { state: 'down', sentences }, deathCause(facts), facts, { background: change })
    }
    case 'suspect':
      return answerOf(
        subject,
        {
          state: 'degraded',
          sentences: [`${name} has not answered for ${since}; others are asked whether they reach it`],
        },
        { what: 'node', text: 'Its process is busy or gone, or its network is slow or cut', sinceMs },
        facts,
      )
    case 'alive':
      return aliveAnswer(facts)
  }
}

/** That another program of its own came to it right before it went silent. */
function programChange({ events, sinceMs }: NodeWhyFacts): TimelineEvent | undefined {
  return events.find(
    ({ kind, service, timeMs }) =>
      kind === 'deploy' && service === undefined && timeMs <= sinceMs && sinceMs - timeMs < AFTER_CHANGE_MS,
  )
}

function deathCause(facts: NodeWhyFacts): Cause {
  const { name, sinceMs, attention } = facts
  const revoked = facts.events.find(
    ({ kind, title, timeMs }) =>
      kind === 'certificate' && title.includes('revoked') && sinceMs - timeMs < LAST_WORDS_MS && timeMs <= sinceMs,
  )
  if (revoked) return { what: 'certificate', text: revoked.title, sinceMs: revoked.timeMs }
  const words = lastWords(facts)
  if (words) {
    const what = kindOfReason(`${words.message} ${words.fieldsJson}`) ?? 'exit'
    return {
      what,
      text: `Its last word, ${spanText(sinceMs - words.timeMs)} before: ${words.logger}: ${words.message}`,
      sinceMs: words.timeMs,
    }
  }
  const disk = attention.find(({ id, severity }) => id.startsWith('disk/') && severity === 'error')
  if (disk) return { what: 'disk', text: disk.title, sinceMs }
  return {
    what: 'node',
    text: `${name} went silent without a word: its process was killed, its machine lost power, or its network is cut`,
    sinceMs,
  }
}

/** What it said that was serious right before it went silent. */
function lastWords({ lines, sinceMs }: NodeWhyFacts): LogLine | undefined {
  return lines.find(
    ({ level, timeMs }) =>
      (level === 'CRITICAL' || level === 'ERROR') && timeMs <= sinceMs && sinceMs - timeMs < LAST_WORDS_MS,
  )
}

function aliveAnswer(facts: NodeWhyFacts): WhyAnswer {
  const { name, nowMs, failing, attention, startedAtMs, events } = facts
  const subject = { kind: 'node', name } as const
  const sentences = [`${name} is alive and has run for ${spanText(nowMs - startedAtMs)}`]
  const own = attention.filter(({ id, severity }) => severity !== 'info' && !id.startsWith('service/'))
  if (failing.length > 0) sentences.push(`Not well on it: ${failing.map(({ service }) => service).join(', ')}`)
  const [first] = own
  const [ill] = failing
  const [item] = own.filter(({ severity }) => severity === 'error')
  const chosen = item ?? (ill ? undefined : first)
  if (chosen) {
    return answerOf(
      subject,
      { state: 'degraded', sentences: [...sentences, chosen.title] },
      attentionCause(chosen),
      facts,
      { remedy: chosen.remedy },
    )
  }
  if (ill) {
    const text = `${ill.service}: ${ill.reason ?? 'it says that it is failing'}`
    const told = events.find(({ service, severity }) => service === ill.service && severity !== 'info')
    return answerOf(
      subject,
      { state: 'degraded', sentences },
      { what: kindOfReason(text) ?? 'exit', text, sinceMs: told?.timeMs },
      facts,
      { remedy: `Ask about the service: p2p why ${ill.service}` },
    )
  }
  const last = events.find(
    ({ kind, severity, service, timeMs }) =>
      (kind === 'member' || kind === 'certificate' || (kind === 'deploy' && service === undefined)) &&
      severity !== 'info' &&
      nowMs - timeMs < PAST_TROUBLE_MS,
  )
  if (!last) {
    const isNew = nowMs - startedAtMs < JUST_STARTED_MS
    return answerOf(
      subject,
      {
        state: 'well',
        sentences: [...sentences, isNew ? 'Nothing is wrong' : 'Nothing went wrong in the last 24 hours'],
      },
      undefined,
      facts,
    )
  }
  sentences.push(`It last had trouble ${spanText(nowMs - last.timeMs)} ago`)
  const what = last.kind === 'certificate' || last.kind === 'deploy' ? last.kind : 'node'
  const text = last.detail === undefined || what !== 'deploy' ? last.title : `${last.title}: ${last.detail}`
  return answerOf(subject, { state: 'well', sentences }, { what, text, sinceMs: last.timeMs }, facts)
}

function attentionCause({ id, title, detail, since }: AttentionItem): Cause {
  const what = id.startsWith('disk/') ? 'disk' : id.startsWith('certificate/') ? 'certificate' : 'node'
  return { what, text: `${title}: ${detail}`, sinceMs: Date.parse(since) }
}
