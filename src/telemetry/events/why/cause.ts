import type { WhyAnswer } from '../../../service/index.ts'

export type CauseKind = NonNullable<WhyAnswer['cause']>['what']

export interface Cause {
  what: CauseKind
  text: string
  sinceMs?: number | undefined
}

const PATTERNS: readonly [what: CauseKind, pattern: RegExp][] = [
  ['out-of-memory', /out of memory|\bENOMEM\b|\bOOM\b|memory limit|limits\.memoryMb/i],
  ['disk', /ENOSPC|no space left|disk (?:is )?full/i],
  ['limit', /limits\.\w+ in manifest\.json/],
  ['certificate', /certificate (?:has expired|was revoked|is not|expired)|CERT_|unable to verify/i],
  ['health-check', /health check/i],
  ['exit', /exit code|ended by SIG|it ended|ended with|was ended/i],
]

/** What kind of cause a reason for people speaks of. */
export function kindOfReason(reason: string): CauseKind | undefined {
  return PATTERNS.find(([, pattern]) => pattern.test(reason))?.[0]
}

/** What to do about a cause; `{}` is the service or node. */
const REMEDIES: Readonly<Record<CauseKind, string>> = {
  'out-of-memory':
    'Raise limits.memoryMb in its manifest.json and deploy it again, or find what it keeps: p2p top shows its memory.',
  'health-check':
    'See what its health check asks for in manifest.json, and its log lines from that moment: p2p logs --logger Service.{}',
  exit: 'Read its last lines: p2p logs --logger Service.{}. When it was just deployed: p2p rollback {}',
  limit:
    'Raise the limit in its manifest.json and deploy it again, or find what uses so much: p2p logs --logger Service.{}',
  deploy: 'Mend it and deploy again; p2p history {} shows what ran before.',
  node: 'See whether the machine runs and its network is there; it comes back by itself. p2p nodes shows the others.',
  certificate: 'See p2p ca and the lines with "certificate" in the log: p2p logs --grep certificate',
  disk: 'Make room on the file system of state_directory, or give it more.',
  stopped: 'Start it when it should run: p2p start {}',
  errors: 'Read them: p2p logs --level ERROR --grep {}',
  placement: 'Give it room: more nodes, other labels, or a smaller reserve. p2p plan {} shows what would run where.',
}

export function remedyOf(what: CauseKind, name: string): string {
  return REMEDIES[what].replaceAll('{}', name)
}

/** A sentence: ends with a stop. It may begin with a name, which is written as it is. */
export function sentence(text: string): string {
  const trimmed = text.trim()
  return /[.!?\u2026]$/.test(trimmed) ? trimmed : `${trimmed}.`
}

/** `12 seconds`, `5 minutes`, `3 hours`, `2 days`. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  const [count, unit] =
    seconds < 90
      ? [seconds, 'second']
      : seconds < 5_400
        ? [Math.round(seconds / 60), 'minute']
        : seconds < 129_600
          ? [Math.round(seconds / 3_600), 'hour']
          : [Math.round(seconds / 86_400), 'day']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
