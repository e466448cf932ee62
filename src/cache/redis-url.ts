import { CacheError } from '../base/errors.ts'

const FORM = 'redis[s]://[[user]:password@]host[:port][/database]'

/**
 * Checks a `redis_url`.
 * @returns `host:port/database` without credentials, for logs
 * @throws {CacheError} P2P_CACHE_URL_INVALID; the message never holds the URL, which may hold a password
 */
export function describeRedisUrl(redisUrl: string): string {
  const url = URL.parse(redisUrl)
  if (!url) throw invalid('it is not a URL')
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw invalid('it does not begin with redis:// or rediss://')
  }
  if (url.hostname === '') throw invalid('it names no host')
  if (!/^(?:\/\d{0,5})?$/.test(url.pathname)) throw invalid('what follows the host is not the number of a database')
  if (url.search !== '' || url.hash !== '') throw invalid('it has a query or a fragment, which mean nothing here')
  if (!isDecodable(url.username) || !isDecodable(url.password)) throw invalid('its credentials are not percent-encoded')
  return `${url.hostname}:${url.port || 6379}/${url.pathname.slice(1) || 0}`
}

function invalid(why: string): CacheError {
  return new CacheError('P2P_CACHE_URL_INVALID', `redis_url cannot be used: ${why}. Write it as ${FORM}.`)
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
