import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')
const FOLDERS = ['docs', 'bench', 'examples', 'templates', 'services']

const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
      .map((name) => join(folder, name).split(sep).join('/')),
  ),
]

/** What GitHub makes of a heading: lower case, no punctuation, spaces as hyphens. */
function anchorOf(heading: string): string {
  const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
  return words
    .replace(/[^\p{L}\p{N}_ -]/gu, '')
    .trim()
    .replaceAll(' ', '-')
}

function anchorsIn(text: string): Set<string> {
  return new Set([...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => anchorOf(heading as string)))
}

function linksIn(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')
  const found = prose.matchAll(/\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"/g)
  return [...found].map(([, link, attribute]) => (link ?? attribute) as string).filter((link) => !/^[a-z]+:/.test(link))
}

test('every link of a page leads to a file of the project, and to a heading of it', () => {
  const broken: string[] = []
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8')
    for (const link of linksIn(text)) {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? join(root, page) : resolve(root, dirname(page), path)
      if (!existsSync(target)) broken.push(`${page}: ${link}: there is no ${relative(root, target)}`)
      else if (anchor !== undefined && statSync(target).isFile()) {
        const anchors = anchorsIn(readFileSync(target, 'utf8'))
        if (!anchors.has(anchor)) broken.push(`${page}: ${link}: no such heading`)
      }
    }
  }
  assert.deepEqual(broken, [])
})

test('every page of docs/ can be reached from the README', () => {
  const reached = new Set<string>()
  const follow = (page: string): void => {
    if (reached.has(page)) return
    reached.add(page)
    for (const link of linksIn(readFileSync(join(root, page), 'utf8'))) {
      const target = relative(root, resolve(root, dirname(page), link.split('#')[0] as string))
        .split(sep)
        .join('/')
      if (target.endsWith('.md') && existsSync(join(root, target))) follow(target)
    }
  }
  follow('README.md')
  assert.deepEqual(
    pages.filter((page) => page.startsWith('docs/') && !reached.has(page)),
    [],
  )
})
