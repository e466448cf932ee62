import type { Deployment } from '../../base/deployment.ts'
import { labelsOf, type PlanNode } from './plan-node.ts'

const MB = 1_048_576
/** Cores are counted in thousandths, so that sums are exact. */
const MILLI = 1_000
/** What an instance counts for at least when loads are compared (never when it is asked whether one fits). */
const LIGHT = { millicores: 100, bytes: 64 * MB }

/** A coordinator has work of its own, and everybody misses it when a service takes its memory: of equals it comes last. */
const COORDINATOR_LOAD = 1

type Reserve = Deployment['reserve']

/** A node with what is reserved on it so far. */
export class NodeRoom {
  readonly node: PlanNode
  readonly #labels: Readonly<Record<string, string>>
  readonly #millicores: number
  #usedMillicores = 0
  #usedBytes = 0
  #loadMillicores = 0
  #loadBytes = 0

  constructor(node: PlanNode) {
    this.node = node
    this.#labels = labelsOf(node)
    this.#millicores = Math.floor(node.capacity.cpus * MILLI)
  }

  label(name: string): string | undefined {
    return this.#labels[name]
  }

  /** The labels of `wanted` that the node has not, or not with that value. */
  missingLabels(wanted: Readonly<Record<string, string>>): string[] {
    const missing: string[] = []
    for (const name in wanted) if (this.#labels[name] !== wanted[name]) missing.push(`${name}=${wanted[name]}`)
    return missing
  }

  hasLabels(wanted: Readonly<Record<string, string>>): boolean {
    for (const name in wanted) if (this.#labels[name] !== wanted[name]) return false
    return true
  }

  fits({ cpus, memoryMb }: Reserve): boolean {
    // A service that reserves nothing runs anywhere, also where others have reserved more than there is.
    return (
      (cpus === 0 || this.#usedMillicores + Math.ceil(cpus * MILLI) <= this.#millicores) &&
      (memoryMb === 0 || this.#usedBytes + memoryMb * MB <= this.node.capacity.memoryBytes)
    )
  }

  take({ cpus, memoryMb }: Reserve, sign: 1 | -1 = 1): void {
    const millicores = Math.ceil(cpus * MILLI)
    const bytes = memoryMb * MB
    this.#usedMillicores += sign * millicores
    this.#usedBytes += sign * bytes
    this.#loadMillicores += sign * Math.max(millicores, LIGHT.millicores)
    this.#loadBytes += sign * Math.max(bytes, LIGHT.bytes)
  }

  /** The fuller of processor and memory, as a share of the node: 1 is full. */
  get load(): number {
    const own = this.node.role === 'coordinator' ? COORDINATOR_LOAD : 0
    const processor = this.#loadMillicores / Math.max(this.#millicores, 1)
    return own + Math.max(processor, this.#loadBytes / Math.max(this.node.capacity.memoryBytes, 1))
  }

  /** What another instance lacks here, for people: `512 MB of memory (256 of 1024 are free)`. */
  lack({ cpus, memoryMb }: Reserve): string[] {
    const freeMillicores = Math.max(0, this.#millicores - this.#usedMillicores)
    const freeMb = Math.max(0, Math.floor((this.node.capacity.memoryBytes - this.#usedBytes) / MB))
    const lacks: string[] = []
    if (cpus > 0 && freeMillicores < cpus * MILLI) {
      lacks.push(
        `${figure(cpus - freeMillicores / MILLI)} cores (it needs ${cpus}, ${figure(freeMillicores / MILLI)} free)`,
      )
    }
    if (memoryMb > 0 && freeMb < memoryMb) {
      lacks.push(`${figure(memoryMb - freeMb)} MB of memory (it needs ${memoryMb}, ${freeMb} free)`)
    }
    return lacks
  }
}

function figure(value: number): string {
  return String(Math.round(value * MILLI) / MILLI)
}
