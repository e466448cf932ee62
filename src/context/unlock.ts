/** What opens a node's vault: the plot of its configuration, or a secret instead of it. */
export type Unlock =
  | { kind: 'plot' }
  | { kind: 'password'; password: string }
  | { kind: 'recovery'; recoveryKey: string }
