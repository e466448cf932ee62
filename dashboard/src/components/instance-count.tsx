import { NumberInput } from '@mantine/core'
import type { DeploymentStatus } from '../api/types.ts'

/** How many instances: a whole number, or empty for one on every node. */
export type InstanceCount = number | string

/** Where a deployed service stands before anybody changes it. */
export function instanceCountOf({ count }: Pick<DeploymentStatus['deployment'], 'count'>): InstanceCount {
  return count === 'every' ? '' : count
}

/** As the API takes it. */
export function wantedCount(count: InstanceCount): number | 'every' {
  return count === '' ? 'every' : Number(count)
}

export function InstanceCountInput(props: { value: InstanceCount; onChange: (count: InstanceCount) => void }) {
  return (
    <NumberInput
      {...props}
      label="Instances"
      description="Empty: one on every node that fits"
      min={0}
      max={10_000}
      allowDecimal={false}
    />
  )
}
