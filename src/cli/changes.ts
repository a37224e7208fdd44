import type { Answer } from '../contract/api/index.ts';
import { bytes, type Globals, print } from './present.ts';
import { withSession } from './session.ts';

const PAGE = 1000;
const WAIT_SECONDS = 20;

type Change = Answer<'changes.list'>['items'][number];

export function changes(
  globals: Globals,
  name: string,
  options: { after: number; limit?: number; follow?: boolean },
): Promise<void> {
  return withSession(async ({ call }) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      // Nothing is held that would have to be given back: who follows again goes on from the last number.
      process.once(signal, () => process.exit(0));
    }
    let after = options.after;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      const limit = Math.min(PAGE, left);
      const wait = options.follow ? WAIT_SECONDS : 0;
      const { items } = await call('changes.list', { collection: name, after, limit, wait });
      for (const change of items) print(globals.json ? JSON.stringify(change) : lineOf(change));
      after = items.at(-1)?.number ?? after;
      left -= items.length;
      if (items.length === 0 && !options.follow) return;
    }
  });
}

const MARKS: Readonly<Record<Change['kind'], string>> = { added: '+', changed: '~', moved: '>', removed: '-' };

function lineOf(change: Change): string {
  const path = change.path.replace(/\p{Cc}/gu, '?');
  return `${String(change.number).padStart(8)}  ${MARKS[change.kind]} ${change.kind.padEnd(7)}  ${bytes(change.size).padStart(9)}  ${path}`;
}
