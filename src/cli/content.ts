import { systemClock } from '../clock.ts';
import { LockgateError } from '../contract/errors.ts';
import { collectGarbage } from '../jobs/collect-garbage.ts';
import { bytes, type Globals, plural, print, printJson } from './present.ts';
import { withApp } from './session.ts';

/** Removes what no document refers to any more. */
export function collect(globals: Globals, options: { graceHours: number }): Promise<void> {
  return withApp(async (app) => {
    const parts = { db: await app.database(), content: await app.content(), now: systemClock.now };
    const found = await collectGarbage(parts, options.graceHours * 3600, new AbortController().signal);
    if (!found) throw new LockgateError('busy', 'Another process is collecting.', 'Wait until it has ended.');
    if (globals.json) return printJson(found);
    print(`${plural(found.looked, 'content')} in the store, ${bytes(found.bytes)}; ${found.removed} removed.`);
    if (found.marked > 0)
      print(`Nothing refers to ${found.marked}; they go when that has been so for ${options.graceHours} hours.`);
  });
}
