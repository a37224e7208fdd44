import { spawnSync } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bucket } from './endpoint.ts';
import { type Figures, measure } from './measure.ts';

export const BIN = fileURLToPath(new URL('../bin/lockgate', import.meta.url));
const MIB = 1024 * 1024;

/** One kind of work that both do. */
export interface Work {
  readonly name: string;
  readonly title: string;
  readonly bucket: Bucket;
  /** First everything is fetched, and what is measured is the next time. */
  readonly again?: true;
  readonly rclone: readonly string[];
}

const COPY = ['copy', '--transfers', '32', '--checkers', '16', '--use-server-modtime'];
const COMPARE = ['copy', '--size-only', '--checkers', '16'];

export const WORKS: readonly Work[] = [
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
    rclone: COMPARE,
  },
  {
    name: 'same1m',
    title: 'nothing changed, 1,000,000 keys',
    bucket: { name: 'list1m', keys: 1_000_000, size: 0 },
    again: true,
    rclone: COMPARE,
  },
];

/** The bucket of which some keys change, evenly spread: it is one of these two in turn. */
export const CHANGING = 'changing';
export const VERSIONS: readonly Bucket[] = [
  { name: 'list1m', keys: 1_000_000, size: 0 },
  { name: 'list1mb', keys: 1_000_000, size: 0, changedEvery: 1000 },
];

/**
 * One tool with what it keeps. A new start has a folder of its own, and nothing is removed before the end: where 20,000 files were removed
 * shortly before, ext4 takes twice as long to make others.
 */
export interface Tool {
  prepare(): Promise<void>;
  run(): Promise<Figures>;
  /** Lets go of the memory and the disk that what was fetched has, and leaves the files. */
  empty(): void;
}

function emptyFiles(folder: string): void {
  spawnSync('find', [folder, '-type', 'f', '-size', '+60k', '-exec', 'truncate', '-s', '0', '{}', '+']);
}

/** An installation of its own with one source. */
export function lockgate(scratch: string, endpoint: string, bucket: string) {
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: scratch,
    LOCKGATE_DATA_DIR: '',
    LOCKGATE_ALLOWED_ENDPOINTS: endpoint,
  };
  const command = (words: readonly string[], input = '') => {
    const { status, stdout, stderr } = spawnSync(BIN, words, { env: environment, input, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
    return stdout;
  };
  const measured = (words: readonly string[]) => measure([BIN, ...words], environment, ['lockgate/main.js']);
  return {
    command,
    measured,
    run: () => measured(['sync', 'c']),
    empty: () => emptyFiles(join(environment.LOCKGATE_DATA_DIR, 'content')),
    prepare: async () => {
      environment.LOCKGATE_DATA_DIR = await mkdtemp(join(scratch, `lockgate-${bucket}-`));
      const credential = { access_key_id: 'A', secret_access_key: 'b', endpoint };
      command(['secrets', 'put', 'k', '--type', 's3'], JSON.stringify(credential));
      command(['collections', 'create', 'c']);
      const what = ['--collection', 'c', '--type', 's3', '--credential', 'k', '--path', `s3://${bucket}`];
      command(['sources', 'add', ...what]);
    },
  };
}

export function rclone(scratch: string, endpoint: string, { name, bucket, rclone: words }: Work): Tool {
  let folder = '';
  const settings = join(scratch, 'rclone.conf');
  const environment = { PATH: process.env.PATH ?? '', HOME: scratch };
  return {
    run: async () => {
      const command = ['rclone', '--config', settings, ...words, `s:${bucket.name}`, folder];
      const figures = await measure(command, environment, ['rclone']);
      const started = performance.now();
      // What Lockgate has done when it ends: the bytes are on the disk.
      spawnSync('sync', ['-f', folder]);
      return { ...figures, durable: figures.wall + (performance.now() - started) / 1000 };
    },
    empty: () => emptyFiles(folder),
    prepare: async () => {
      folder = await mkdtemp(join(scratch, `rclone-${name}-`));
      await writeFile(
        settings,
        `[s]\ntype = s3\nprovider = Other\naccess_key_id = A\nsecret_access_key = b\nendpoint = ${endpoint}\nlist_version = 2\nforce_path_style = true\nno_check_bucket = true\nno_head = true\n`,
      );
    },
  };
}
