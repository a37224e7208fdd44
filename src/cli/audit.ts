import { EXIT } from './exit.ts';
import { bytes, type Globals, plural, print, printJson, printTable } from './present.ts';
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
export function verify(globals: Globals, options: { head?: string; behind?: string }): Promise<void> {
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

/** What to know in the hour after a key has leaked. */
export function blast(globals: Globals, secret: string, options: { since?: string; limit: number }): Promise<void> {
  return withSession(async ({ call }) => {
    const found = await call('audit.blast', { secret, ...options });
    if (globals.json) return printJson(found);
    const { accesses, refused, versions, runs, forgottenRuns, collections, documents, otherAccesses } = found;
    print(
      `"${secret}" was accessed ${plural(accesses, 'time')}${refused > 0 ? `, and refused ${plural(refused, 'time')}` : ''}.`,
    );
    printTable(
      ['version', 'accesses', 'first', 'last', 'by'],
      versions.map((each) => [each.version, each.accesses, each.first, each.last, each.actors.join(', ')]),
      'No version of it was accessed in this time.',
    );
    if (runs.length > 0) {
      print('');
      printTable(
        ['run', 'collection', 'path', 'version', 'state', 'started', 'documents', 'bytes'],
        runs.map((run) => [
          run.id,
          run.collection,
          run.path,
          run.credentialVersion,
          run.state,
          run.startedAt,
          run.documents,
          bytes(run.bytes),
        ]),
        '',
      );
    }
    if (forgottenRuns > 0) print(`${plural(forgottenRuns, 'more run')} that the log names and nobody remembers.`);
    if (documents.total > 0) {
      print(`\n${plural(documents.total, 'document')} came by it, into ${collections.join(', ')}; the newest:`);
      printTable(
        ['path', 'collection', 'what', 'when', 'run'],
        documents.items.map(({ path, collection, kind, at, runId }) => [path, collection, kind, at, runId]),
        '',
      );
    }
    if (otherAccesses.length > 0) {
      print('\nOutside of runs:');
      printTable(
        ['when', 'who', 'why', 'version'],
        otherAccesses.map(({ at, actor, reason, version }) => [at, actor, reason, version]),
        '',
      );
    }
  });
}
