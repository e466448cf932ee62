import { PasswordInput } from '@mantine/core'

/** The password one has, asked for again before the account is changed. */
export function CurrentPassword(props: { label: string; value: string; onChange: (value: string) => void }) {
  return (
    <PasswordInput
      label={props.label}
      value={props.value}
      onChange={(event) => props.onChange(event.currentTarget.value)}
      autoComplete="current-password"
      required
      withAsterisk={false}
      visibilityToggleButtonProps={{ 'aria-label': `Show: ${props.label}`, tabIndex: 0 }}
    />
  )
}
