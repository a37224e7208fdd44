import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Secret } from '../contract/secret.ts';
import { attachEmbedded, type EmbeddedServer } from './embedded.ts';
import { APP_SCHEMA, migrate, type Schema } from './migrate.ts';
import { type OpenDatabase, openPool } from './pool.ts';

/** Connections that one process holds at the most. */
const MAX_CONNECTIONS = 12;

export type DatabaseTarget =
  | { readonly kind: 'url'; readonly url: Secret<string> }
  | { readonly kind: 'embedded'; readonly folder: string };

/** Opens the deployment's PostgreSQL, or the embedded one, with the schema brought up to date. */
export async function openDatabase(
  target: DatabaseTarget,
  login: Login | null = null,
  schema: Schema = APP_SCHEMA,
): Promise<OpenDatabase> {
  const db = target.kind === 'url' ? openUrl(target.url, login) : await openEmbedded(target.folder);
  try {
    await migrate(db, schema);
    return db;
  } catch (error) {
    await db[Symbol.asyncDispose]();
    throw error;
  }
}

/** The user and the password, from where they are kept; asked for again when the server refuses them. */
export type Login = () => Promise<Secret<{ readonly username: string; readonly password: string }>>;

function openUrl(url: Secret<string>, login: Login | null): OpenDatabase {
  // The deployment's own secret, not a source's: it goes to the driver here and nowhere else.
  if (!login) return openPool({ connectionString: url.reveal() }, MAX_CONNECTIONS);
  return openPool(async () => {
    const { username, password } = (await login()).reveal();
    const own = new URL(url.reveal());
    own.username = encodeURIComponent(username);
    own.password = encodeURIComponent(password);
    return { connectionString: own.href };
  }, MAX_CONNECTIONS);
}

async function openEmbedded(folder: string): Promise<OpenDatabase> {
  // 0711: the server's user must pass through the folder, and others see nothing in it.
  await mkdir(dirname(folder), { recursive: true, mode: 0o711 });
  let server: EmbeddedServer | null = null;
  let db: OpenDatabase | null = null;
  const terms = { back: async () => server?.back(), onClose: async () => server?.leave() };
  // The first connection is made while this process becomes one of the server's users: either takes as long.
  const begin = (target: EmbeddedServer['target']) => {
    db ??= openPool(target, MAX_CONNECTIONS, terms);
    db.query('select').catch(() => undefined);
  };
  try {
    server = await attachEmbedded(folder, begin);
    return db ?? openPool(server.target, MAX_CONNECTIONS, terms);
  } catch (error) {
    await (db as OpenDatabase | null)?.[Symbol.asyncDispose]();
    throw error;
  }
}
