import { distance } from 'fastest-levenshtein'

/** The candidate somebody most likely meant by `word`, if one is near enough: at most two slips, or a third of its letters. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const steps = distance(word.toLowerCase(), candidate.toLowerCase())
    // A suggestion that shares nothing with a short word is noise.
    if (steps < bestDistance && steps < candidate.length) {
      best = candidate
      bestDistance = steps
    }
  }
  return best
}
