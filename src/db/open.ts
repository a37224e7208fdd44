import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Secret } from '../contract/secret.ts';
import { attachEmbedded } from './embedded.ts';
import { migrate } from './migrate.ts';
import { type OpenDatabase, openPool } from './pool.ts';

/** Connections that one process holds at the most. */
const MAX_CONNECTIONS = 12;

export type DatabaseTarget =
  | { readonly kind: 'url'; readonly url: Secret<string> }
  | { readonly kind: 'embedded'; readonly folder: string };

/** Opens the deployment's PostgreSQL, or the embedded one, with the schema brought up to date. */
export async function openDatabase(target: DatabaseTarget): Promise<OpenDatabase> {
  const db = target.kind === 'url' ? openUrl(target.url) : await openEmbedded(target.folder);
  try {
    await migrate(db);
    return db;
  } catch (error) {
    await db[Symbol.asyncDispose]();
    throw error;
  }
}

function openUrl(url: Secret<string>): OpenDatabase {
  // The deployment's own secret, not a source's: it goes to the driver here and nowhere else.
  return openPool({ connectionString: url.reveal() }, MAX_CONNECTIONS);
}

async function openEmbedded(folder: string): Promise<OpenDatabase> {
  // 0711: the server's user must pass through the folder, and others see nothing in it.
  await mkdir(dirname(folder), { recursive: true, mode: 0o711 });
  const server = await attachEmbedded(folder);
  return openPool(server.target, MAX_CONNECTIONS, server.leave);
}
