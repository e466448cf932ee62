/**
 * JSON text that nobody on this node has to read: parameters and results on their way between another node and a service's
 * process are passed on as they came. Whoever does read it checks depth and keys first.
 */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}
