import { RpcError } from '../../base/errors.ts'
import type { Schema } from '../sdk/schema.ts'
import type { ServiceEvent } from '../sdk/service-events.ts'

/** Handles one event. @throws what concerns nobody but the log */
export type EventHandler = (data: unknown, event: ServiceEvent) => Promise<void>

/** The handler as its author wrote it, behind the schema of its data. */
export function checkedHandler<Data>(
  handler: (data: Data, event: ServiceEvent) => void | Promise<void>,
  schema: Schema<unknown, Data> | undefined,
): EventHandler {
  return async (data, event) => {
    if (!schema) {
      await handler(data as Data, event)
      return
    }
    const checked = await schema['~standard'].validate(data)
    if (checked.issues) throw forbidden(event.topic, checked.issues[0]?.message)
    await handler(checked.value, event)
  }
}

function forbidden(topic: string, issue: string | undefined): RpcError {
  return new RpcError(
    'P2P_RPC_INVALID_PARAMS',
    `The data of ${topic} are not as the schema says: ${issue ?? 'unknown'}`,
  )
}
