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

/** Scripts, styles and requests of this node only; small pictures may be data: URLs. */
function policy(styles: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src ${styles}`,
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

const LOGIN = `<form id="login" hidden>
  <p>This node shows its interface to known callers. Run <code>p2p login</code> and paste the access token:</p>
  <input id="token" type="password" autocomplete="off" aria-label="Access token" required>
  <p><button>Show</button> <span id="refusal" role="alert"></span></p>
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
  html: page('<link rel="stylesheet" href="/docs/assets/swagger-ui.css">', ['swagger-ui-bundle.js', 'docs.js']),
  policy: policy("'self'"),
}

/** ReDoc, which makes its style elements in the browser. */
export const REDOC_PAGE: Page = {
  path: '/redoc',
  html: page('', ['redoc.standalone.js', 'redoc.js']),
  policy: policy("'self' 'unsafe-inline'"),
}

function page(head: string, [library, own]: [DocsFile, DocsFile]): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>P2P Core API</title><link rel="icon" href="data:,">
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

const LOGIN_STYLE = `#login { font: 16px system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em }
#login input { width: 100%; box-sizing: border-box }
#refusal { color: #b00020 }
`

/** Gets the document as whoever the browser already is (client certificate), else with a pasted token, kept in memory only. */
const LOAD_DOCUMENT = `const form = document.getElementById('login')
const refusal = document.getElementById('refusal')

async function load(token) {
  const headers = token ? { authorization: 'Bearer ' + token } : {}
  const response = await fetch('/openapi.json', { headers })
  const body = await response.json()
  if (response.ok) return { spec: body, token }
  refusal.textContent = token ? body.detail : ''
  return undefined
}

export async function loadDocument() {
  let loaded = await load(undefined)
  while (!loaded) {
    form.hidden = false
    const token = await new Promise((resolve) => {
      form.addEventListener('submit', (event) => {
        event.preventDefault()
        resolve(document.getElementById('token').value.trim())
      }, { once: true })
    })
    loaded = await load(token)
  }
  form.remove()
  return loaded
}
`

const DOCS_SCRIPT = `import { loadDocument } from './load-document.js'

const { spec, token } = await loadDocument()
SwaggerUIBundle({
  spec,
  dom_id: '#page',
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    const isOwn = new URL(request.url, location.href).origin === location.origin
    if (token && isOwn && !request.headers.Authorization) request.headers.Authorization = 'Bearer ' + token
    return request
  },
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
