/** A choice of few, side by side. */
export function Segments<T extends string>(props: {
  label: string
  options: readonly { value: T; text: string }[]
  value: T
  onChange: (value: T) => void
}) {
  return (
    <div className="segments" role="group" aria-label={props.label}>
      {props.options.map(({ value, text }) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </div>
  )
}
