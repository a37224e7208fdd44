// Puts what the command line and the library run into dist/lockgate, in few files: 450 would take a fifth of a command.
import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChunkingContext, rolldown } from 'rolldown';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(ROOT, 'dist', 'lockgate');
/** Built beside it, so that what runs is whole at any time. */
const BUILDING = `${OUT}.${process.pid}.new`;
const OLD = `${OUT}.${process.pid}.old`;

/** What is started by its name: two of them as threads. */
const ENTRIES = ['src/cli/main.ts', 'src/index.ts', 'src/threads/hand.ts', 'src/content/hashing-thread.ts'];

/** Libraries of many small files. The others stay whole where npm puts them; some read files beside their own. */
const BUNDLED =
  /^(@aws-sdk|@smithy|@aws|zod|age-encryption|@noble|@scure|pg|pg-(protocol|pool|types|connection-string|int8)|pgpass|split2|postgres-[a-z]+|xtend|pg-boss|cron-parser|luxon|rrule-temporal|serialize-error|non-error|commander|picomatch|croner|cronstrue|pretty-bytes|pretty-ms|parse-ms)(\/|$)/;

const CORE = ['src/cli/session.ts', 'src/foundation.ts', 'src/main.ts', 'src/db/embedded.ts'];
const OTHER_STORES = ['connectors/gcs/connector.ts', 'connectors/azure/connector.ts'];
const OTHER_AWS = ['src/secrets/aws/reader.ts', 'src/secrets/aws/directory.ts'];

/**
 * What is loaded together comes as one file: all that is reached by imports from one of each list and that none before has. First what help needs, then
 * what starts the database: both stay small.
 */
const TOGETHER: Readonly<Record<string, readonly (readonly string[])[]>> = {
  first: [['src/cli/main.ts']],
  ahead: [['src/cli/ahead.ts']],
  core: [CORE],
  stores: [['connectors/s3/connector.ts'], OTHER_STORES],
  aws: [['connectors/s3/connector.ts'], OTHER_AWS],
  queue: [['node_modules/pg-boss/dist/index.js']],
  s3: [['connectors/s3/connector.ts']],
  sealed: [['src/secrets/file/reader.ts', 'src/secrets/file/directory.ts']],
};

const PACKAGE = /^.*\/node_modules\/(@[^/]+\/)?[^/]+/;

async function bundle(): Promise<void> {
  const build = await rolldown({
    cwd: ROOT,
    input: ENTRIES,
    platform: 'node',
    resolve: { mainFields: ['module', 'main'] },
    external: (id) => !/^[./]/.test(id) && !BUNDLED.test(id),
  });
  try {
    const { output } = await build.write({
      dir: BUILDING,
      format: 'esm',
      keepNames: true,
      // V8 keeps a file with one character beyond Latin-1 in two bytes for each; and what is no code is read and compared at each start all the same.
      charset: 'ascii',
      comments: false,
      cleanDir: true,
      codeSplitting: { groups: groups() },
    });
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

type Graph = Pick<ChunkingContext, 'getModuleInfo'>;

function groups() {
  let names: Map<string, string> | null = null;
  return Object.keys(TOGETHER).map((group, n) => ({
    debugName: group,
    priority: Object.keys(TOGETHER).length - n,
    name: (module: string, graph: Graph) => {
      names ??= namesOf(graph);
      return names.get(module) === group ? group : null;
    },
  }));
}

/** By module, the file in which it comes; of others the bundler decides. */
function namesOf(graph: Graph): Map<string, string> {
  const names = new Map<string, string>();
  for (const [name, lists] of Object.entries(TOGETHER)) {
    const [first = new Set<string>(), ...others] = lists.map((roots) => reachedFrom(roots, graph));
    for (const id of first) if (!names.has(id) && others.every((other) => other.has(id))) names.set(id, name);
  }
  // What is started keeps its own name.
  for (const entry of ENTRIES) names.delete(join(ROOT, entry));
  return names;
}

function reachedFrom(roots: readonly string[], graph: Graph): Set<string> {
  const reached = new Set(roots.map((root) => join(ROOT, root)));
  // A set gives out what is added while it is gone through.
  for (const id of reached) for (const next of graph.getModuleInfo(id)?.importedIds ?? []) reached.add(next);
  return reached;
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
