import { svelte } from '@sveltejs/vite-plugin-svelte'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'

const PAGE = fileURLToPath(new URL('../src/headstart/page/', import.meta.url))
export const STATIC = fileURLToPath(new URL('../src/headstart/studio/static', import.meta.url))

/** The tokens of reports, with a second way to the dark set: a reader's own choice of theme. */
export function tokens(): Plugin {
  const name = 'virtual:tokens.css'
  return {
    name: 'headstart-tokens',
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load(id) {
      if (id !== `\0${name}`) return undefined
      const path = `${PAGE}tokens.css`
      this.addWatchFile(path)
      const text = readFileSync(path, 'utf8')
      const dark = /@media screen and \(prefers-color-scheme: dark\) \{\s*:root \{([\s\S]*?)\}\s*\}/.exec(text)
      if (!dark) throw new Error('tokens.css has no dark set')
      return (
        text.replace(dark[0], dark[0].replace(':root', ":root:not([data-theme='light'])")) +
        `:root[data-theme='dark'] { color-scheme: dark; ${dark[1]} }\n:root[data-theme='light'] { color-scheme: light }\n`
      )
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [tokens(), svelte()],
  build: {
    outDir: STATIC,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
