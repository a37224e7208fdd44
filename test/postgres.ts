import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { attachEmbedded, type EmbeddedServer } from '../src/db/embedded.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgres: EmbeddedServer['target'];
  }
}

/** One PostgreSQL for the whole test run; each test makes databases of its own in it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-test-'));
  const server = await attachEmbedded(join(folder, 'postgres'));
  project.provide('postgres', server.target);
  return async () => {
    await server.leave();
    await rm(folder, { recursive: true, force: true });
  };
}
