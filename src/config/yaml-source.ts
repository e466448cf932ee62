import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml'
import type { ConfigIssue, Place } from './issue.ts'

/** Longest file that is parsed at all, in characters. */
const CONFIG_TEXT_MAX = 64 * 1024

/** A value and where it was written. */
export interface Placed {
  value: unknown
  place: Place
  /** Where the key stands: what an issue with the key itself points at. */
  keyPlace: Place
}

export interface YamlSource {
  values: Map<string, Placed>
  /** What is wrong with the text itself; `values` is incomplete when there is any. */
  issues: ConfigIssue[]
}

/**
 * Reads a YAML 1.2 file that is one map of plain values. Duplicate keys, anchors, aliases, tags and further
 * documents are issues: a configuration needs none of them, and an alias can stand for a gigabyte.
 * @param file name shown in places
 */
export function readYaml(text: string, file: string): YamlSource {
  const lines = new LineCounter()
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { source: file, line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const source: YamlSource = { values: new Map(), issues: [] }
  const report = (place: Place, message: string): void => {
    source.issues.push({ place, key: undefined, message, isUnknownKey: false })
  }
  if (text.length > CONFIG_TEXT_MAX) {
    report(at(0), `the file is larger than a configuration can be (${CONFIG_TEXT_MAX} characters)`)
    return source
  }
  const document = parse(text, lines)
  if (!document) {
    report(at(0), 'the values are nested too deeply for a configuration')
    return source
  }
  for (const error of [...document.errors, ...document.warnings]) report(at(error.pos[0]), sentence(error))
  if (source.issues.length > 0) return source

  reportExtras(document, (node, message) => report(at(node.range?.[0] ?? 0), message))
  const root = document.contents
  if (source.issues.length > 0 || root === null || (isScalar(root) && root.value === null)) return source
  if (!isMap(root)) {
    report(at(root.range?.[0] ?? 0), 'expected lines of the form "key: value"')
    return source
  }
  for (const pair of root.items as Pair<Node, Node | null>[]) {
    const keyPlace = at(pair.key.range?.[0] ?? 0)
    if (!isScalar(pair.key) || typeof pair.key.value !== 'string') {
      report(keyPlace, 'expected the name of a key')
      continue
    }
    const place = isNode(pair.value) ? at(pair.value.range?.[0] ?? 0) : keyPlace
    source.values.set(pair.key.value, { value: pair.value?.toJS(document) ?? null, place, keyPlace })
  }
  return source
}

/** @returns undefined when the nesting exhausts the parser's stack */
function parse(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true, version: '1.2' })
    return document.errors.some((error) => error.code === 'RESOURCE_EXHAUSTION') ? undefined : document
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function reportExtras(document: Document.Parsed, report: (node: Node, message: string) => void): void {
  visit(document, {
    Node: (_key, node) => {
      if (isAlias(node)) report(node, `"*${node.source}" is an alias; write the value out`)
      else if (node.anchor) report(node, `"&${node.anchor}" is an anchor; a configuration has no use for it`)
      else if (node.tag && !node.tag.startsWith('tag:yaml.org,2002:'))
        report(node, `"${node.tag}" is a tag; leave it out`)
    },
  })
}

/** The parser's messages, in the form of ours; reworded where they speak to a programmer. */
function sentence(error: YAMLError): string {
  if (error.code === 'DUPLICATE_KEY') return 'the same key stands here a second time'
  if (error.code === 'MULTIPLE_DOCS') return 'a second document begins here; a configuration is one'
  const first = error.message.split('\n')[0] as string
  return first.replace(/\.$/, '').replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase())
}
