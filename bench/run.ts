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
import { type Bucket, missingTools, showAs, startEndpoint, warm } from './endpoint.ts';
import { type Figures, median, touchMemory } from './measure.ts';
import { plot } from './plot.ts';
import { CHANGING, lockgate, rclone, VERSIONS, WORKS, type Work } from './rows.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MORE = ['changed', 'start', 'clouds'];
const ALL = [...WORKS.map(({ name }) => name), ...MORE];

const { values } = parseArgs({
  options: {
    repeat: { type: 'string', default: '5' },
    only: { type: 'string', default: ALL.join(',') },
    root: { type: 'string', default: join(tmpdir(), 'lockgate-bench') },
  },
});
const print = (text: string) => process.stdout.write(`${text}\n`);

const missing = missingTools();
if (missing.length > 0) {
  print(`This needs ${missing.join(' and ')}: apt-get install -y rclone nginx-light`);
  process.exit(1);
}
const wanted = values.only.split(',');
if (!wanted.every((name) => ALL.includes(name))) {
  print(`--only takes some of ${ALL.join(', ')}.`);
  process.exit(2);
}
const works = WORKS.filter(({ name }) => wanted.includes(name));
const repeat = Number(values.repeat);
const small: Bucket = { name: 'small', keys: 20_000, size: 4096 };
const FETCHED: Bucket = { name: 'list1k', keys: 1000, size: 0 };
await mkdir(values.root, { recursive: true });
print('writing the buckets');
const endpoint = await startEndpoint(values.root, [small, FETCHED, ...works.map(({ bucket }) => bucket), ...VERSIONS]);
const scratch = await mkdtemp(join(values.root, 'run-'));
const each: string[] = [];
const rows: { work: Work; ours: Figures; theirs: Figures }[] = [];
const more: string[] = [];
try {
  for (const work of works) rows.push(await sideBySide(work));
  if (wanted.includes('changed')) more.push(await someChanged());
  if (wanted.includes('start')) more.push(await starts());
  if (wanted.includes('clouds')) more.push(clouds());
  await report();
} finally {
  endpoint.stop();
  await rm(scratch, { recursive: true, force: true });
}

function tell(line: string): void {
  each.push(line);
  print(line);
}

async function sideBySide(work: Work) {
  const ours: Figures[] = [];
  const theirs: Figures[] = [];
  const tools = [
    [lockgate(scratch, endpoint.url, work.bucket.name), ours],
    [rclone(scratch, endpoint.url, work), theirs],
  ] as const;
  if (work.again) {
    for (const [tool] of tools) {
      await tool.prepare();
      await tool.run();
    }
  }
  for (let n = 0; n < repeat; n++) {
    // Who comes second has the machine as the first one leaves it.
    for (const [tool, figures] of n % 2 === 0 ? tools : tools.toReversed()) {
      if (!work.again) await tool.prepare();
      warm(values.root, work.bucket.name);
      // Who writes no files needs no memory for them.
      if (!work.again) await touchMemory(scratch);
      // What is left to be written is not this one's.
      spawnSync('sync');
      figures.push(await tool.run());
      tool.empty();
    }
    tell(`${work.title}: ${said(ours.at(-1))}; rclone ${said(theirs.at(-1))}`);
  }
  return { work, ours: medians(ours), theirs: medians(theirs) };
}

/** A thousand of a million keys have another version each time, evenly spread. */
async function someChanged(): Promise<string> {
  const tool = lockgate(scratch, endpoint.url, CHANGING);
  const versions = VERSIONS.map(({ name }) => name) as [string, string];
  await showAs(values.root, CHANGING, versions[0]);
  await tool.prepare();
  await tool.run();
  const fetches = await thousandFetches();
  const same: Figures[] = [];
  const changed: Figures[] = [];
  for (let n = 0; n < repeat; n++) {
    await showAs(values.root, CHANGING, versions[(n + 1) % 2] as string);
    changed.push(await tool.run());
    same.push(await tool.run());
    tell(`1,000 of 1,000,000 changed: ${said(changed.at(-1))}; then nothing: ${said(same.at(-1))}`);
  }
  const [some, none] = [medians(changed), medians(same)];
  const ratio = (seconds: number) => (seconds / none.wall).toFixed(2);
  return `1,000 of 1,000,000 keys changed, evenly spread: ${said(some)}, which is **${ratio(some.wall)}** of nothing changed; **${ratio(some.wall - fetches)}** without the ${fetches.toFixed(2)} s that a thousand fetches alone take.`;
}

/** What the first sync of a thousand such objects takes longer than the next one, in seconds. */
async function thousandFetches(): Promise<number> {
  const tool = lockgate(scratch, endpoint.url, FETCHED.name);
  const differences: number[] = [];
  for (let n = 0; n < repeat; n++) {
    await tool.prepare();
    const first = await tool.run();
    differences.push(first.wall - (await tool.run()).wall);
  }
  return median(differences);
}

async function starts(): Promise<string> {
  const tool = lockgate(scratch, endpoint.url, small.name);
  await tool.prepare();
  const { items } = JSON.parse(tool.command(['sources', 'list', '--json'])) as { items: { id: string }[] };
  const time = async (words: readonly string[]) => {
    const all: Figures[] = [];
    for (let n = 0; n < Math.max(5, repeat); n++) all.push(await tool.measured(words));
    return medians(all).wall.toFixed(2);
  };
  const help = await time(['--help']);
  const check = await time(['sources', 'check', items[0]?.id ?? '']);
  return `\`lockgate --help\` takes ${help} s; \`lockgate sources check\` on S3, database and all, ${check} s.`;
}

interface CloudFigures {
  readonly listing: { count: number; cpu: number };
  readonly gets: { count: number; wall: number; cpu: number };
}

/** Each object store by itself: a million keys listed one page after the other, 20,000 objects of 4 KiB read. */
function clouds(): string {
  const types = ['s3', 'gcs', 'azure'];
  const all = new Map<string, CloudFigures[]>(types.map((type) => [type, []]));
  for (let n = 0; n < repeat; n++) {
    for (const type of types) {
      const words = [join(HERE, 'cloud.ts'), type, endpoint.url, 'list1m', 'small'];
      const { stdout, stderr, status } = spawnSync(process.execPath, words, { encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      all.get(type)?.push(JSON.parse(stdout));
      tell(`${type}: ${stdout.trim()}`);
    }
  }
  const middle = (type: string, of: (figures: CloudFigures) => number) => median((all.get(type) ?? []).map(of));
  const wallOf = (type: string) => middle(type, ({ gets }) => gets.wall);
  const lines = types.map((type) => {
    const keys = middle(type, ({ listing }) => listing.count / listing.cpu);
    const gets = middle(type, ({ gets: { count, cpu } }) => count / cpu);
    return `| ${type} | ${Math.round(keys / 1000).toLocaleString('en')},000 | ${Math.round(gets).toLocaleString('en')} | ${(wallOf(type) / wallOf('s3')).toFixed(2)} |`;
  });
  return `| object store | keys listed for each second of CPU | objects of 4 KiB read for each second of CPU | wall of the reads against S3's |
|---|---|---|---|
${lines.join('\n')}`;
}

function medians(all: readonly Figures[]): Figures {
  const of = (name: 'wall' | 'cpu' | 'memory') => median(all.map((figures) => figures[name]));
  return {
    wall: of('wall'),
    cpu: of('cpu'),
    memory: of('memory'),
    durable: median(all.map(({ durable, wall }) => durable ?? wall)),
  };
}

function said(figures: Figures | undefined): string {
  if (!figures) return '';
  const { wall, cpu, memory, durable } = figures;
  const until = durable && durable > wall * 1.02 ? ` (${durable.toFixed(2)} s until it is on the disk)` : '';
  return `${wall.toFixed(2)} s${until}, CPU ${cpu.toFixed(2)} s, ${Math.round(memory)} MB`;
}

function memoryOfBoth(): string {
  const [less, more] = ['same100k', 'same1m'].map((name) => rows.find(({ work }) => work.name === name)?.ours.memory);
  return less && more ? `Memory for 1,000,000 keys against 100,000: **${(more / less).toFixed(2)}**.` : '';
}

async function report(): Promise<void> {
  const { stdout } = spawnSync('rclone', ['version']);
  const version = /^rclone (\S+)/.exec(stdout.toString())?.[1] ?? '';
  const lines = rows.map(({ work, ours, theirs }) => {
    const ratio = (of: 'wall' | 'cpu') => (ours[of] / theirs[of]).toFixed(2);
    const durable = (ours.wall / (theirs.durable ?? theirs.wall)).toFixed(2);
    return `| ${work.title} | ${said(ours)} | ${said(theirs)} | **${ratio('wall')}** | ${durable} | ${ratio('cpu')} |`;
  });
  const text = `# Lockgate and rclone, side by side

Medians of ${values.repeat} on ${availableParallelism()} cores, Node ${process.version}, rclone ${version}, each in turn on the same endpoint. CPU is the whole machine's
without the endpoint's, so PostgreSQL is in it. Lockgate does all of its work: index, SHA-256, durable content and rows, change feed. rclone writes files and
does not wait until they are on the disk; the column "durable" is against rclone with a \`sync\` of its files behind it. Before each run the bucket is
read once, and before each that writes files the machine's memory for files is touched, so that neither pays for the host's memory or the endpoint's disk; each run has a folder of its own, and they begin in turn. \`npm run bench\` makes this page anew; [where the time goes](../docs/performance.md).

| work | Lockgate | rclone | wall | durable | CPU |
|---|---|---|---|---|---|
${lines.join('\n')}

![ratios](results.svg)

${[memoryOfBoth(), ...more].filter(Boolean).join('\n\n')}

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
