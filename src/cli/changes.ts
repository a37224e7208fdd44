import { setTimeout as wait } from 'node:timers/promises';
import { type Change, readChanges } from '../collections/changes.ts';
import { findCollection } from '../collections/collections.ts';
import { bytes, type Globals, print } from './present.ts';
import { withApp } from './session.ts';

const PAGE = 1000;
const POLL_MS = 500;

export function changes(
  globals: Globals,
  name: string,
  options: { after: number; limit?: number; follow?: boolean },
): Promise<void> {
  return withApp(async (app) => {
    const db = await app.database();
    const collection = await findCollection(db, app.config.workspace, name);
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    let after = options.after;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0 && !stop.signal.aborted) {
      const page = await readChanges(db, collection.id, after, Math.min(PAGE, left));
      for (const change of page) print(globals.json ? JSON.stringify(change) : lineOf(change));
      after = page.at(-1)?.number ?? after;
      left -= page.length;
      if (page.length > 0) continue;
      if (!options.follow) return;
      await wait(POLL_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  });
}

const MARKS: Readonly<Record<Change['kind'], string>> = { added: '+', changed: '~', moved: '>', removed: '-' };

function lineOf(change: Change): string {
  const path = change.path.replace(/\p{Cc}/gu, '?');
  return `${String(change.number).padStart(8)}  ${MARKS[change.kind]} ${change.kind.padEnd(7)}  ${bytes(change.size).padStart(9)}  ${path}`;
}
