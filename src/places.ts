import { join, resolve } from 'node:path';

/*
 * What of the configuration is needed before it is loaded. It is checked there.
 */

type Environment = Readonly<Record<string, string | undefined>>;

/** Where Lockgate keeps what it has. */
export function dataDirIn(environment: Environment): string {
  return resolve(environment.LOCKGATE_DATA_DIR || './data');
}

/** Where the embedded database is. */
export function databaseFolder(dataDir: string): string {
  return join(dataDir, 'postgres');
}

/** The folder of the embedded database, where commands use it; null: they use another, or a service. */
export function embeddedDatabase(environment: Environment = process.env): string | null {
  if (environment.LOCKGATE_URL || environment.DATABASE_URL) return null;
  return databaseFolder(dataDirIn(environment));
}
