import { BaseService, ServiceError, serviceMethod, type ServiceProxy, z } from 'p2p-core/service'

const HELLO = { en: 'Hello', de: 'Hallo', es: 'Hola' }

const Greet = z.strictObject({
  name: z.string().min(1).max(100).describe('Whom to greet'),
  language: z.enum(['en', 'de', 'es']).default('en'),
})

/** Greets people, and tells where the cluster's coordinator is. */
export class Run extends BaseService {
  static SERVICE_NAME = 'greeter'
  readonly #greeted = new Map<string, number>()

  constructor(serviceName: string, proxyClient?: ServiceProxy) {
    super(serviceName, proxyClient)
    this.info.version = '1.0.0'
  }

  override async initialize() {
    this.logger.info('Ready to greet')
  }

  @serviceMethod({
    description: 'Greets somebody, on behalf of the coordinator',
    public: true,
    requiredRole: 'viewer',
    params: Greet,
    result: z.object({ greeting: z.string(), from: z.string() }),
  })
  async greet({ name, language }: z.infer<typeof Greet>) {
    this.#greeted.set(name, (this.#greeted.get(name) ?? 0) + 1)
    this.metrics.increment('greetings')
    // Another service, on another node: wherever the coordinator is, the call is the same.
    const { hostname } = await this.proxy.system.coordinator.get_system_info()
    return { greeting: `${HELLO[language]} ${name}`, from: hostname }
  }

  @serviceMethod({
    description: 'Tells how often this node has greeted somebody',
    public: true,
    requiredRole: 'viewer',
    params: z.strictObject({ name: z.string() }),
    result: z.object({ name: z.string(), times: z.number() }),
  })
  greeted({ name }: { name: string }) {
    const times = this.#greeted.get(name)
    if (times === undefined) throw new ServiceError('NAME_UNKNOWN', `${name} has not been greeted here`, { name })
    return { name, times }
  }
}
