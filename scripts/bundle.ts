// Puts what the command line and the library run into dist/lockgate, in few files: 450 would take a fifth of a command.
import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(ROOT, 'dist', 'lockgate');
/** Built beside it, so that what runs is whole at any time. */
const BUILDING = `${OUT}.${process.pid}.new`;
const OLD = `${OUT}.${process.pid}.old`;

/** What is started by its name: two of them as threads. */
const ENTRIES = ['src/cli/main.ts', 'src/index.ts', 'src/threads/hand.ts', 'src/content/hashing-thread.ts'];

/** Libraries of many small files. The others stay whole where npm puts them; some read files beside their own. */
const BUNDLED =
  /^(zod|age-encryption|@noble|@scure|pg|pg-(protocol|pool|types|connection-string|int8)|pgpass|split2|postgres-[a-z]+|commander|picomatch|croner|cronstrue|pretty-bytes|pretty-ms|parse-ms)(\/|$)/;

const PACKAGE = /^.*\/node_modules\/(@[^/]+\/)?[^/]+/;

async function bundle(): Promise<void> {
  const build = await rolldown({
    cwd: ROOT,
    input: ENTRIES,
    platform: 'node',
    external: (id) => !/^[./]/.test(id) && !BUNDLED.test(id),
  });
  try {
    const { output } = await build.write({ dir: BUILDING, format: 'esm', keepNames: true, cleanDir: true });
    const modules = output.flatMap((each) => (each.type === 'chunk' ? each.moduleIds : []));
    await writeFile(join(BUILDING, 'LICENSES.txt'), await licenses(modules));
    // They read them from beside their own code.
    for (const folder of ['src/db/migrations', 'src/securestore/securestore-migrations'])
      await cp(join(ROOT, folder), join(BUILDING, basename(folder)), { recursive: true });
    await rename(OUT, OLD).catch(() => undefined);
    await rename(BUILDING, OUT);
  } finally {
    await build.close();
    for (const folder of [BUILDING, OLD]) await rm(folder, { recursive: true, force: true });
  }
}

/** Of the libraries that the modules are from, each once. */
async function licenses(modules: readonly string[]): Promise<string> {
  const folders = new Set(modules.flatMap((module) => PACKAGE.exec(module)?.[0] ?? []));
  const texts = [...folders].sort().map(async (folder) => {
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    const file = (await readdir(folder)).find((each) => /^licen[cs]e/i.test(each));
    const text = file ? await readFile(join(folder, file), 'utf8') : `License: ${license}`;
    return `${name} ${version}\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`);
}

await bundle();
