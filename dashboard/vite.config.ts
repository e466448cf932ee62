import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** The page lives at /dashboard of a node's port. Nothing is inlined: the page's policy allows no inline script or style. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/dashboard/',
  plugins: [react()],
  build: {
    outDir: '../dist/dashboard',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
  },
})
