/** The pages as one script and one sheet, fonts inside: what `studio/export.py` makes a single file of. */
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { STATIC, tokens } from './vite.config.ts'

/** Of the faces only the Latin letters; others come from the reader's own fonts. */
function latin(): Plugin {
  return {
    name: 'headstart-latin',
    enforce: 'pre',
    transform(code, id) {
      if (!/@fontsource-variable.*\.css/.test(id)) return undefined
      return code.split(/(?=\/\* )/).filter((face) => /^\/\* \S+-latin-wght-normal/.test(face)).join('')
    },
  }
}

export default defineConfig({
  base: './',
  publicDir: false,
  plugins: [latin(), tokens(), svelte()],
  build: {
    outDir: `${STATIC}/export`,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 1_000_000,
    cssCodeSplit: false,
    modulePreload: false,
    rolldownOptions: {
      input: fileURLToPath(new URL('src/main.ts', import.meta.url)),
      output: { entryFileNames: 'page.js', assetFileNames: 'page[extname]', codeSplitting: false },
    },
  },
})
