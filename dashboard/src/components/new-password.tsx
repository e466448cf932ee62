import { PasswordInput } from '@mantine/core'

/** A field for a password that is set now. */
export function NewPassword(props: {
  label: string
  value: string
  onChange: (value: string) => void
  size?: 'xs' | 'sm'
  autoFocus?: boolean
}) {
  return (
    <PasswordInput
      size={props.size ?? 'xs'}
      label={props.label}
      description="12 characters or more; several words are good"
      value={props.value}
      onChange={(event) => props.onChange(event.currentTarget.value)}
      autoComplete="new-password"
      {...(props.autoFocus && { autoFocus: true })}
      required
      withAsterisk={false}
      visibilityToggleButtonProps={{ 'aria-label': `Show: ${props.label}`, tabIndex: 0 }}
    />
  )
}
