import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { attachEmbedded, type EmbeddedServer } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { openPool } from '../src/db/pool.ts';
import { removeMemoryFolder } from './memory-folder.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgres: {
      /** Its database has the schema of this version, to be copied. */
      readonly target: EmbeddedServer['target'];
      /** The folder of a server that is not running, as new, to be copied. */
      readonly folder: string;
    };
  }
}

/** One PostgreSQL for the whole test run; each test makes databases of its own in it, or has a server of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const parent = await mkdtemp(join(tmpdir(), 'lockgate-test-'));
  const folder = join(parent, 'made');
  await (await attachEmbedded(folder)).leave();
  await copyServer(folder, join(parent, 'postgres'));
  const server = await attachEmbedded(join(parent, 'postgres'));
  await withSchema(server.target);
  project.provide('postgres', { target: server.target, folder });
  return async () => {
    await server.leave();
    await rm(parent, { recursive: true, force: true });
    removeMemoryFolder();
  };
}

/** Copies the folder of a server that is not running, which takes a tenth of making one. */
export async function copyServer(from: string, to: string): Promise<void> {
  await promisify(execFile)('cp', ['-a', from, to]);
}

async function withSchema(target: EmbeddedServer['target']): Promise<void> {
  await using db = openPool(target, 1);
  await migrate(db);
}
