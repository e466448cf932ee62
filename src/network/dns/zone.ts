import { isIPv4, isIPv6 } from 'node:net'
import type { Answer } from 'dns-packet'
import type { Member, Membership } from '../../base/member.ts'
import { type Random, shuffle } from '../../base/random.ts'
import { type HostPort, parseHostPort } from '../../transport/index.ts'
import { type DnsQuestion, type Rcode, refusal, type Resolution } from './message.ts'

export interface ZoneNeeds {
  membership: Pick<Membership, 'self' | 'members'>
  random: Random
}

/** Seconds an answer may be kept, also one that says no: as long as it takes to find out that a node has died. */
const TTL_S = 2

/** Instances in one answer. Of more, each answer has others, so that all of them get their share. Bounds what an answer costs. */
const INSTANCES_MAX = 100

/** Labels of 1 to 63 bytes (RFC 1035 section 2.3.4). A node id such as `a..b` is no name in DNS. */
const NAME = /^(?=.{1,253}$)[\w-]{1,63}(?:\.[\w-]{1,63})*$/

/** The records of one type at a name that exists. */
interface Records {
  answers: Answer[]
  /** Addresses of the hosts that the answers name. */
  additionals?: Answer[]
}

/** `owner` is the name as it was asked for. */
type RecordsAt = (owner: string, type: string) => Records

const NO_RECORDS: Records = { answers: [] }

/**
 * The cluster as a DNS zone, `<service>.service.<cluster>` and `<node>.node.<cluster>`, read from the membership at every
 * question: nothing is kept that could be out of date. Names know no upper and lower case (RFC 4343).
 */
export class Zone {
  readonly #needs: ZoneNeeds
  readonly #cluster: string

  constructor(needs: ZoneNeeds, cluster: string) {
    this.#needs = needs
    this.#cluster = cluster
  }

  resolve({ name, type, class: klass }: DnsQuestion): Resolution {
    const relative = this.#relative(name.toLowerCase())
    if (relative === undefined || klass !== 'IN' || type === 'AXFR') return refusal('REFUSED')
    const records = this.#find(relative)
    if (!records) return this.#negative('NXDOMAIN')
    const found = type === 'ANY' ? { answers: [minimalAny(name)] } : records(name, type)
    return found.answers.length > 0 ? positive(found) : this.#negative('NOERROR')
  }

  /** The name without the zone's; empty for the zone itself, undefined for a name outside. */
  #relative(asked: string): string | undefined {
    const zone = this.#cluster.toLowerCase()
    if (asked === zone) return ''
    return asked.endsWith(`.${zone}`) ? asked.slice(0, -zone.length - 1) : undefined
  }

  /** @returns undefined when there is no such name */
  #find(relative: string): RecordsAt | undefined {
    if (relative === '') return (owner, type) => this.#apex(owner, type)
    // Names that exist because others lie below them (RFC 8020).
    if (relative === 'node' || relative === 'service') return () => NO_RECORDS
    const [, name, branch] = /^(.+)\.(node|service)$/.exec(relative) ?? []
    if (name === undefined) return undefined
    return branch === 'node' ? this.#findNode(name) : this.#findService(name)
  }

  #findNode(name: string): RecordsAt | undefined {
    const members = this.#needs.membership.members()
    const named = members.filter(({ record }) => record.nodeId.toLowerCase() === name)
    if (named.length > 0) return (owner, type) => this.#nodeRecords(owner, type, named.filter(isPresent))
    // `17` exists where a node is called `edge.17`.
    const isAbove = members.some(({ record }) => record.nodeId.toLowerCase().endsWith(`.${name}`))
    return isAbove ? () => NO_RECORDS : undefined
  }

  #findService(name: string): RecordsAt | undefined {
    const has = ({ record }: Member): boolean => record.services.some((service) => service.name.toLowerCase() === name)
    const known = this.#needs.membership.members().filter(has)
    if (known.length === 0) return undefined
    const working = known.filter((member) => answersFor(member, name))
    return (owner, type) => this.#serviceRecords(owner, type, working)
  }

  #apex(owner: string, type: string): Records {
    if (type === 'SOA') return { answers: [this.#soa(owner)] }
    if (type !== 'NS') return NO_RECORDS
    const self = this.#needs.membership.self()
    return {
      answers: [{ ...record(owner), type: 'NS', data: this.#nameServer() }],
      additionals: addressRecords(this.#nameServer(), self),
    }
  }

  /** All addresses of a node, in its own order: the best first. */
  #nodeRecords(owner: string, type: string, members: readonly Member[]): Records {
    if (type === 'SRV') return this.#srvRecords(owner, members)
    const answers = members.flatMap((member) => addressRecords(owner, member))
    return { answers: answers.filter((answer) => answer.type === type) }
  }

  /** One address of each instance, in another order each time. */
  #serviceRecords(owner: string, type: string, members: Member[]): Records {
    const instances = shuffle(this.#needs.random, members)
    if (type === 'SRV') return this.#srvRecords(owner, instances.slice(0, INSTANCES_MAX))
    const answers: Answer[] = []
    for (const member of instances) {
      const best = placesOf(member).find(({ host }) => addressType(host) === type)
      if (best) answers.push(addressRecord(owner, best.host))
      if (answers.length === INSTANCES_MAX) break
    }
    return { answers }
  }

  /** Where the nodes answer calls: host and port of the address that each says is its best. */
  #srvRecords(owner: string, members: readonly Member[]): Records {
    const answers: Answer[] = []
    const additionals: Answer[] = []
    for (const member of members) {
      const [best] = placesOf(member)
      if (!best) continue
      const own = this.#nodeName(member.record.nodeId)
      // A node may be known by a host name of the world outside, which has its addresses there.
      const target = addressType(best.host) ? own : validName(best.host)
      if (target === undefined) continue
      answers.push({ ...record(owner), type: 'SRV', data: { priority: 0, weight: 1, port: best.port, target } })
      if (target === own) additionals.push(...addressRecords(target, member))
    }
    return { answers, additionals }
  }

  #nodeName(nodeId: string): string | undefined {
    return validName(`${nodeId}.node.${this.#cluster}`)
  }

  /** This node, by its own name. */
  #nameServer(): string {
    return this.#nodeName(this.#needs.membership.self().record.nodeId) ?? this.#cluster
  }

  /** How long a "no" may be kept is the least of its TTL and `minimum` (RFC 2308 section 5). Nobody copies the zone: the rest is form. */
  #soa(owner: string): Answer {
    const data = {
      mname: this.#nameServer(),
      rname: `hostmaster.${this.#cluster}`,
      serial: 1,
      refresh: 3_600,
      retry: 600,
      expire: 86_400,
      minimum: TTL_S,
    }
    return { ...record(owner), type: 'SOA', data }
  }

  #negative(rcode: Rcode): Resolution {
    return { rcode, isAuthoritative: true, answers: [], authorities: [this.#soa(this.#cluster)], additionals: [] }
  }
}

function positive({ answers, additionals = [] }: Records): Resolution {
  return { rcode: 'NOERROR', isAuthoritative: true, answers, authorities: [], additionals }
}

/** One record instead of all of them: nothing to gain for who asks in another's name (RFC 8482 section 4.2). */
function minimalAny(owner: string): Answer {
  return { ...record(owner), type: 'HINFO', data: { cpu: 'RFC8482', os: '' } }
}

function record(name: string) {
  return { name, ttl: TTL_S, class: 'IN' as const }
}

/** A suspect is most often only slow, and who asks for a node by name has no other to go to. */
function isPresent({ status }: Member): boolean {
  return status === 'alive' || status === 'suspect'
}

/** A caller of a service has others to choose from: only what is known to work is named. */
function answersFor({ status, record }: Member, service: string): boolean {
  const isHealthy = record.services.some(({ name, health }) => name.toLowerCase() === service && health === 'healthy')
  return status === 'alive' && isHealthy
}

function validName(name: string): string | undefined {
  return NAME.test(name) ? name : undefined
}

function placesOf({ record }: Member): HostPort[] {
  return record.addresses.flatMap((address) => parseHostPort(address) ?? [])
}

/** Addresses a record can hold: not host names, not IPv6 with a zone. */
function addressType(host: string): 'A' | 'AAAA' | undefined {
  if (isIPv4(host)) return 'A'
  return isIPv6(host) && !host.includes('%') ? 'AAAA' : undefined
}

function addressRecord(owner: string, host: string): Answer {
  return { ...record(owner), type: addressType(host) as 'A' | 'AAAA', data: host }
}

/** Every address of the node, in its own order. */
function addressRecords(owner: string, member: Member): Answer[] {
  const hosts = new Set(placesOf(member).map(({ host }) => host))
  return [...hosts].filter((host) => addressType(host) !== undefined).map((host) => addressRecord(owner, host))
}
