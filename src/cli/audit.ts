import { EXIT } from './exit.ts';
import { type Globals, print, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

/** The latest events, the newest last. */
export function list(globals: Globals, options: { limit: number; secret?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('audit.list', options);
    if (globals.json) return printJson({ items });
    printTable(
      ['number', 'time', 'who', 'what', 'secret', 'version', 'outcome', 'why', 'run'],
      items.map(({ seq, at, actor, action, secret, outcome, reason, runId }) => [
        seq,
        at?.replace('T', ' ').slice(0, 19),
        actor,
        action,
        secret?.secretId,
        secret?.version,
        outcome,
        reason,
        runId,
      ]),
      'Nothing was done with a credential yet.',
    );
  });
}

/** Whether the log is as it was written. */
export function verify(globals: Globals, options: { head?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const { ok, lines, torn, head, problems } = await call('audit.verify', options);
    if (!ok) process.exitCode = EXIT.failed;
    if (globals.json) return printJson({ ok, lines, torn, head, problems });
    for (const { message } of problems) print(message);
    if (torn > 0) print(`${torn} half-written or foreign lines were passed over: nothing was released for them.`);
    print(ok ? `The log is whole: ${head.split(':')[0]} events.` : 'The log is NOT as it was written.');
    print(`Its head, to be noted elsewhere: ${head}`);
  });
}
