import { pagePolicy } from './security-headers.ts'

/** Files the documentation pages may load; nothing else is served under `/docs/assets/`. */
export const DOCS_FILES = [
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'redoc.standalone.js',
  'login.css',
  'load-document.js',
  'docs.js',
  'redoc.js',
] as const
export type DocsFile = (typeof DOCS_FILES)[number]

const LOGIN = `<form id="login" hidden>
  <h1>P2P Core API</h1>
  <p>This node shows its interface to known callers. Run <code>p2p login</code> and paste the access token: it stands behind
    <code>Bearer</code> in the file <code>curlrc</code> that the command names. The whole line will do.</p>
  <label for="token">Access token</label>
  <input id="token" type="password" autocomplete="off" spellcheck="false" required>
  <button>Show</button>
  <p id="refusal" role="alert"></p>
</form>`

interface Page {
  path: string
  html: string
  /** Content-Security-Policy. */
  policy: string
}

/** Swagger UI. */
export const DOCS_PAGE: Page = {
  path: '/docs',
  html: page(
    '<meta name="color-scheme" content="light dark"><link rel="stylesheet" href="/docs/assets/swagger-ui.css">',
    ['swagger-ui-bundle.js', 'docs.js'],
  ),
  policy: pagePolicy(),
}

/** ReDoc, which makes its style elements in the browser, and is light whatever the reader prefers. */
export const REDOC_PAGE: Page = {
  path: '/redoc',
  html: page('<meta name="color-scheme" content="light">', ['redoc.standalone.js', 'redoc.js']),
  policy: pagePolicy("'self' 'unsafe-inline'"),
}

function page(head: string, [library, own]: [DocsFile, DocsFile]): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>P2P Core API</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
${head}<link rel="stylesheet" href="/docs/assets/login.css"></head>
<body>
${LOGIN}
<div id="page"></div>
<script src="/docs/assets/${library}"></script>
<script type="module" src="/docs/assets/${own}"></script>
</body>
</html>
`
}

const LOGIN_STYLE = `body { margin: 0 }
#login { font: 16px/1.5 system-ui, sans-serif; max-width: 36em; margin: 12vh auto; padding: 0 1.5em }
#login h1 { font-size: 1.5em; font-weight: 600 }
#login label { display: block; margin-top: 1.5em; font-size: 0.875em; font-weight: 600 }
#login input, #login button { font: inherit; width: 100%; box-sizing: border-box; min-height: 2.75em; margin-top: 0.5em; border-radius: 6px }
#login input { padding: 0 0.75em; border: 1px solid light-dark(#8c959f, #6e7681); background: Canvas; color: CanvasText }
#login button { border: 0; background: #1f6feb; color: #fff; font-weight: 600; cursor: pointer }
#login button:disabled { opacity: 0.6; cursor: default }
#login :focus-visible { outline: 2px solid #1f6feb; outline-offset: 2px }
#refusal { color: light-dark(#b00020, #ff8a80); overflow-wrap: anywhere }
`

/** Gets the document as whoever the browser already is (client certificate), else with a pasted token, kept in memory only. */
const LOAD_DOCUMENT = `const form = document.getElementById('login')
const field = document.getElementById('token')
const button = form.querySelector('button')
const refusal = document.getElementById('refusal')

async function load(token) {
  try {
    const response = await fetch('/openapi.json', { headers: token ? { authorization: 'Bearer ' + token } : {} })
    const body = await response.json()
    if (response.ok) return { spec: body, token }
    refusal.textContent = token || response.status !== 401 ? body.detail : ''
  } catch {
    refusal.textContent = 'The node does not answer. Is it still running?'
  }
  return undefined
}

function submittedToken() {
  return new Promise((resolve) => {
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      resolve(/Bearer\\s+([\\w.-]+)/.exec(field.value)?.[1] ?? field.value.trim())
    }, { once: true })
  })
}

export async function loadDocument() {
  let loaded = await load(undefined)
  while (!loaded) {
    form.hidden = false
    field.focus()
    const token = await submittedToken()
    button.disabled = true
    loaded = await load(token)
    button.disabled = false
  }
  form.remove()
  return loaded
}
`

const DOCS_SCRIPT = `import { loadDocument } from './load-document.js'

// Swagger UI has a dark form and leaves it to the page to ask for it.
const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', follow)
follow()

const { spec, token } = await loadDocument()

// Swagger UI would read the document as YAML, and follow each reference in all of it, before it shows anything. It is JSON, and
// what it asks for first has no references; the rest is followed when an operation is opened.
const quickStart = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        parseToJson: (_original, { specActions }) => (text) => specActions.updateJsonSpec(JSON.parse(text)),
        requestResolvedSubtree: (original, { specActions }) => (path) =>
          path.join('/') === 'components/securitySchemes'
            ? specActions.updateResolvedSubtree(path, spec.components.securitySchemes)
            : original(path),
      },
    },
  },
})

const ui = SwaggerUIBundle({
  spec,
  dom_id: '#page',
  deepLinking: true,
  validatorUrl: null,
  // Two hundred operations and as many schemas are made when somebody opens them, not before anybody sees anything.
  docExpansion: 'none',
  defaultModelsExpandDepth: -1,
  syntaxHighlight: { activated: false },
  filter: true,
  plugins: [quickStart],
  onComplete: () => token && ui.preauthorizeApiKey('bearer', token),
})
`

const REDOC_SCRIPT = `import { loadDocument } from './load-document.js'

const { spec } = await loadDocument()
// The search index would run in a worker made from a blob: URL, which the policy does not allow.
Redoc.init(spec, { disableSearch: true }, document.getElementById('page'))
`

/** The pages' own files. */
export const OWN_FILES = {
  'login.css': LOGIN_STYLE,
  'load-document.js': LOAD_DOCUMENT,
  'docs.js': DOCS_SCRIPT,
  'redoc.js': REDOC_SCRIPT,
} as const satisfies Partial<Record<DocsFile, string>>
