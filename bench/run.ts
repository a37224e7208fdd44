/**
 * Lockgate and rclone side by side on the same endpoint, and what came of it in bench/RESULTS.md. Needs Debian's rclone and
 * nginx-light, and a machine with nothing else to do.
 *
 *   npm run bench -- --repeat 5 --only small,mid
 */

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Bucket, missingTools, startEndpoint } from './endpoint.ts';
import { type Figures, measure, median } from './measure.ts';
import { plot } from './plot.ts';

const BIN = fileURLToPath(new URL('../bin/lockgate', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const MIB = 1024 * 1024;

interface Work {
  readonly name: string;
  readonly title: string;
  readonly bucket: Bucket;
  /** First everything is fetched, and what is measured is the next time. */
  readonly again?: true;
  readonly rclone: readonly string[];
}

const COPY = ['copy', '--transfers', '32', '--checkers', '16', '--use-server-modtime'];
const WORKS: readonly Work[] = [
  {
    name: 'small',
    title: 'first sync, 20,000 × 4 KiB',
    bucket: { name: 'small', keys: 20_000, size: 4096 },
    rclone: COPY,
  },
  {
    name: 'many',
    title: 'first sync, 100,000 × 4 KiB',
    bucket: { name: 'many', keys: 100_000, size: 4096 },
    rclone: COPY,
  },
  { name: 'mid', title: 'first sync, 2,000 × 1 MiB', bucket: { name: 'mid', keys: 2000, size: MIB }, rclone: COPY },
  {
    name: 'large',
    title: 'first sync, 8 × 256 MiB',
    bucket: { name: 'large', keys: 8, size: 256 * MIB },
    rclone: COPY,
  },
  {
    name: 'same100k',
    title: 'nothing changed, 100,000 keys',
    bucket: { name: 'list100k', keys: 100_000, size: 0 },
    again: true,
    rclone: ['copy', '--size-only', '--checkers', '16'],
  },
  {
    name: 'same1m',
    title: 'nothing changed, 1,000,000 keys',
    bucket: { name: 'list1m', keys: 1_000_000, size: 0 },
    again: true,
    rclone: ['copy', '--size-only', '--checkers', '16'],
  },
];

const { values } = parseArgs({
  options: {
    repeat: { type: 'string', default: '5' },
    only: { type: 'string', default: WORKS.map(({ name }) => name).join(',') },
    root: { type: 'string', default: join(tmpdir(), 'lockgate-bench') },
  },
});
const print = (text: string) => process.stdout.write(`${text}\n`);

const missing = missingTools();
if (missing.length > 0) {
  print(`This needs ${missing.join(' and ')}: apt-get install -y rclone nginx-light`);
  process.exit(1);
}
const works = values.only.split(',').flatMap((name) => WORKS.filter((each) => each.name === name));
if (works.length !== values.only.split(',').length) {
  print(`--only takes some of ${WORKS.map((each) => each.name).join(', ')}.`);
  process.exit(2);
}
await mkdir(values.root, { recursive: true });
print('writing the buckets');
const endpoint = await startEndpoint(
  values.root,
  works.map(({ bucket }) => bucket),
);
const scratch = await mkdtemp(join(values.root, 'run-'));
const each: string[] = [];
const rows: { work: Work; ours: Figures; theirs: Figures }[] = [];
try {
  for (const work of works) {
    const ours: Figures[] = [];
    const theirs: Figures[] = [];
    const tools = [lockgate(work), rclone(work)];
    if (work.again) for (const tool of tools) await tool.prepare();
    for (let n = 0; n < Number(values.repeat); n++) {
      for (const [tool, figures] of [
        [tools[0], ours],
        [tools[1], theirs],
      ] as const) {
        if (!work.again) await tool?.prepare();
        // What the one before has left to be written is not this one's.
        spawnSync('sync');
        if (tool) figures.push(await tool.run());
      }
      const line = `${work.title}: ${said(ours.at(-1))}; rclone ${said(theirs.at(-1))}`;
      each.push(line);
      print(line);
    }
    rows.push({ work, ours: medians(ours), theirs: medians(theirs) });
  }
  await report();
} finally {
  endpoint.stop();
  await rm(scratch, { recursive: true, force: true });
}

function lockgate({ name, bucket, again }: Work) {
  const folder = join(scratch, `lockgate-${name}`);
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: scratch,
    LOCKGATE_DATA_DIR: folder,
    LOCKGATE_ALLOWED_ENDPOINTS: endpoint.url,
  };
  const command = (words: readonly string[], input = '') => {
    const { status, stderr } = spawnSync(BIN, words, { env: environment, input });
    if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
  };
  const run = () => measure([BIN, 'sync', 'c'], environment, ['src/cli/main.ts']);
  return {
    prepare: async () => {
      await rm(folder, { recursive: true, force: true });
      const credential = { access_key_id: 'A', secret_access_key: 'b', endpoint: endpoint.url };
      command(['secrets', 'put', 'k', '--type', 's3'], JSON.stringify(credential));
      command(['collections', 'create', 'c']);
      command([
        'sources',
        'add',
        '--collection',
        'c',
        '--type',
        's3',
        '--credential',
        'k',
        '--path',
        `s3://${bucket.name}`,
      ]);
      if (again) await run();
    },
    run,
  };
}

function rclone({ name, bucket, again, rclone: words }: Work) {
  const folder = join(scratch, `rclone-${name}`);
  const settings = join(scratch, 'rclone.conf');
  const environment = { PATH: process.env.PATH ?? '', HOME: scratch };
  const run = () =>
    measure(['rclone', '--config', settings, ...words, `s:${bucket.name}`, folder], environment, ['rclone']);
  return {
    prepare: async () => {
      await rm(folder, { recursive: true, force: true });
      await writeFile(
        settings,
        `[s]\ntype = s3\nprovider = Other\naccess_key_id = A\nsecret_access_key = b\nendpoint = ${endpoint.url}\nlist_version = 2\nforce_path_style = true\nno_check_bucket = true\nno_head = true\n`,
      );
      if (again) await run();
    },
    run,
  };
}

function medians(all: readonly Figures[]): Figures {
  return {
    wall: median(all.map(({ wall }) => wall)),
    cpu: median(all.map(({ cpu }) => cpu)),
    memory: median(all.map(({ memory }) => memory)),
  };
}

function said(figures: Figures | undefined): string {
  return figures
    ? `${figures.wall.toFixed(2)} s, CPU ${figures.cpu.toFixed(2)} s, ${Math.round(figures.memory)} MB`
    : '';
}

async function report(): Promise<void> {
  const { stdout } = spawnSync('rclone', ['version']);
  const version = /^rclone (\S+)/.exec(stdout.toString())?.[1] ?? '';
  const lines = rows.map(({ work, ours, theirs }) => {
    const ratio = (of: keyof Figures) => (ours[of] / theirs[of]).toFixed(2);
    return `| ${work.title} | ${said(ours)} | ${said(theirs)} | **${ratio('wall')}** | ${ratio('cpu')} |`;
  });
  const text = `# Lockgate and rclone, side by side

Medians of ${values.repeat} on ${availableParallelism()} cores, Node ${process.version}, rclone ${version}, each in turn on the same endpoint. CPU is the whole machine's
without the endpoint's, so PostgreSQL is in it. Lockgate does all of its work: index, SHA-256, durable content and rows, change feed. rclone writes files and
does not wait until they are on the disk. \`npm run bench\` makes this page anew; [where the time goes](../docs/performance.md).

| work | Lockgate | rclone | wall | CPU |
|---|---|---|---|---|
${lines.join('\n')}

![ratios](results.svg)

Each run, in turn:

~~~
${each.join('\n')}
~~~
`;
  await writeFile(join(HERE, 'RESULTS.md'), text);
  const bars = rows.map(({ work, ours, theirs }) => ({
    title: work.title,
    wall: ours.wall / theirs.wall,
    cpu: ours.cpu / theirs.cpu,
  }));
  await writeFile(join(HERE, 'results.svg'), plot(bars));
  print(`\n${text}`);
}
