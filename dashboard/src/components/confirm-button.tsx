import { Button, Modal } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { messageOf } from '../api/http.ts'
import { Refusal } from './empty.tsx'

/** A button for what changes the cluster: says what will happen, does it once confirmed, shows a refusal. */
export function ConfirmButton(props: {
  text: string
  title: string
  /** What will happen. */
  children: ReactNode
  /** Words of the button that does it. */
  confirm?: string
  isDangerous?: boolean
  isDisabled?: boolean
  act: () => Promise<unknown>
  onDone?: () => void
}) {
  const [isOpen, setOpen] = useState(false)
  const doing = useMutation({
    mutationFn: props.act,
    onSuccess: () => {
      setOpen(false)
      props.onDone?.()
    },
  })
  const open = (): void => {
    doing.reset()
    setOpen(true)
  }
  return (
    <>
      <Button
        size="compact-sm"
        variant="default"
        {...(props.isDisabled !== undefined && { disabled: props.isDisabled })}
        onClick={open}
      >
        {props.text}
      </Button>
      <Dialog title={props.title} isOpen={isOpen} onClose={() => setOpen(false)}>
        <div className="form">
          <div>{props.children}</div>
          {doing.error && <Refusal>{messageOf(doing.error)}</Refusal>}
          <div className="form-row">
            <Button
              loading={doing.isPending}
              onClick={() => doing.mutate()}
              {...(props.isDangerous && { color: 'red' })}
              data-autofocus
            >
              {props.confirm ?? props.text}
            </Button>
            <Button variant="default" onClick={() => setOpen(false)}>
              Cancel
            </Button>
          </div>
        </div>
      </Dialog>
    </>
  )
}

/** A modal dialog. The page behind is not locked by a style element: the page's policy allows none. */
export function Dialog(props: { title: string; isOpen: boolean; onClose: () => void; children: ReactNode }) {
  return (
    <Modal
      opened={props.isOpen}
      onClose={props.onClose}
      title={<b>{props.title}</b>}
      lockScroll={false}
      transitionProps={{ duration: 0 }}
      closeButtonProps={{ 'aria-label': 'Close' }}
      centered
    >
      {props.children}
    </Modal>
  )
}
