import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';
import { API } from '../src/contract/api/index.ts';

const OUT = fileURLToPath(new URL('../dist/web', import.meta.url));
/** Built beside it, so that what is being served is whole at any time. */
const BUILDING = `${OUT}.${process.pid}`;
const ENDPOINTS = 'virtual:endpoints';

/** Where each operation is, out of the table that the service has, without the schemas that it checks with. */
function endpoints(): Plugin {
  return {
    name: 'endpoints',
    resolveId: (id) => (id === ENDPOINTS ? `\0${ENDPOINTS}` : null),
    load: (id) => {
      if (id !== `\0${ENDPOINTS}`) return null;
      const entries = Object.entries(API).map(([name, { method, path }]) => [name, { method, path }]);
      return `export default ${JSON.stringify(Object.fromEntries(entries))};`;
    },
  };
}

/** Compressed once, and not with each answer; then it takes its place. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    closeBundle: () => {
      const folder = join(BUILDING, 'assets');
      for (const name of readdirSync(folder).filter((each) => /\.(js|mjs|css|svg)$/.test(each))) {
        const bytes = readFileSync(join(folder, name));
        writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes));
        writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
      }
      rmSync(OUT, { recursive: true, force: true });
      renameSync(BUILDING, OUT);
    },
  };
}

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  plugins: [react(), endpoints(), compressed()],
  build: {
    outDir: BUILDING,
    emptyOutDir: true,
    // Nothing stands in the page itself: its policy allows files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
  },
});
