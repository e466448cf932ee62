/** A page that is on its way: its form in grey, so that nothing jumps when it comes. */
export function PageLoading() {
  return (
    <div className="page" aria-busy="true">
      <span className="hidden-text" role="status">
        Loading
      </span>
      <div className="grey grey-title" />
      <div className="grey grey-panel" />
      <div className="grey grey-panel grey-tall" />
    </div>
  )
}

/** A table that is on its way. */
export function PanelLoading() {
  return <div className="grey grey-panel" aria-busy="true" />
}
