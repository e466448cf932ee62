import { createTheme, MantineProvider } from '@mantine/core'
import './mantine.css'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { createRoot } from 'react-dom/client'
import { isRefused } from './api/asking.ts'
import { SessionGate } from './components/session-gate.tsx'
import { router } from './router.tsx'
import './styles.css'

const dense = { defaultProps: { size: 'xs' } }
const theme = createTheme({
  components: {
    Button: dense,
    Checkbox: dense,
    NativeSelect: dense,
    NumberInput: dense,
    PasswordInput: dense,
    Textarea: dense,
    TextInput: dense,
  },
})

const queries = new QueryClient({
  defaultOptions: {
    // A browser that thinks it is offline may reach a node on its own machine or in its own network all the same.
    queries: {
      networkMode: 'always',
      retry: (failures, error) => failures < 2 && !isRefused(error),
      refetchOnWindowFocus: false,
      staleTime: 2_000,
    },
    mutations: { networkMode: 'always' },
  },
})

// The page that is asked for comes while the node is asked who we are.
void router.load()

// No style element is made at run time: the page's policy allows none. The variables come from Mantine's style sheet.
createRoot(document.getElementById('root') as HTMLElement).render(
  <MantineProvider theme={theme} defaultColorScheme="auto" withCssVariables={false} withGlobalClasses={false}>
    <QueryClientProvider client={queries}>
      <SessionGate>
        <RouterProvider router={router} />
      </SessionGate>
    </QueryClientProvider>
  </MantineProvider>,
)
