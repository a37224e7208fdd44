import { startAhead } from '../db/server.ts';
import { embeddedDatabase } from '../places.ts';

/**
 * Starts the embedded database for a command that is sure to use it, so that it comes up while the rest of the command is loaded: either takes a fifth
 * of a second. Returns its folder; null: it was up already, was never made, or is not what commands use.
 */
export async function startDatabase(): Promise<string | null> {
  const folder = embeddedDatabase();
  // Whatever is wrong, the command finds out for itself and says so.
  return folder !== null && (await startAhead(folder).catch(() => false)) ? folder : null;
}
