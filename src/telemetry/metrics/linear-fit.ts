/**
 * The straight line that lies nearest to the points (least squares).
 * @returns `slope` is 0 for fewer than two different x; `span` is from the least x to the greatest
 */
export function linearFit(points: readonly (readonly [x: number, y: number])[]): { slope: number; span: number } {
  const count = Math.max(1, points.length)
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count
  let products = 0
  let squares = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const [x, y] of points) {
    products += (x - meanX) * (y - meanY)
    squares += (x - meanX) ** 2
    min = Math.min(min, x)
    max = Math.max(max, x)
  }
  return squares > 0 ? { slope: products / squares, span: max - min } : { slope: 0, span: 0 }
}
