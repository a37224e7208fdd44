import { readAuditLines, verifyAuditLog } from '../audit/file-log.ts';
import { InputError } from '../contract/errors.ts';
import { EXIT } from './exit.ts';
import { type Globals, print, printJson, printTable } from './present.ts';
import { withApp } from './session.ts';

interface Line {
  readonly seq?: number;
  readonly at?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly outcome?: string;
  readonly reason?: string;
  readonly runId?: string;
  readonly secret?: { readonly secretId?: string; readonly version?: string };
}

/** The latest events, the newest last. */
export function list(globals: Globals, options: { limit: number; secret?: string }): Promise<void> {
  return withApp(async ({ config }) => {
    const kept: Line[] = [];
    for await (const text of readAuditLines(config.audit.file)) {
      const line = parsed(text);
      if (!line || (options.secret && line.secret?.secretId !== options.secret)) continue;
      kept.push(line);
      if (kept.length > options.limit) kept.shift();
    }
    if (globals.json) return printJson({ items: kept });
    printTable(
      ['number', 'time', 'who', 'what', 'secret', 'version', 'outcome', 'why', 'run'],
      kept.map(({ seq, at, actor, action, secret, outcome, reason, runId }) => [
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
  return withApp(async ({ config }) => {
    const noted = options.head === undefined ? [] : [parseHead(options.head)];
    const { lines, head, torn, problems } = await verifyAuditLog(config.audit, noted);
    if (problems.length > 0) process.exitCode = EXIT.failed;
    if (globals.json)
      return printJson({ ok: problems.length === 0, lines, torn, head: `${head.seq}:${head.mac}`, problems });
    for (const { message } of problems) print(message);
    if (torn > 0) print(`${torn} half-written or foreign lines were passed over: nothing was released for them.`);
    print(problems.length === 0 ? `The log is whole: ${head.seq} events.` : 'The log is NOT as it was written.');
    print(`Its head, to be noted elsewhere: ${head.seq}:${head.mac}`);
  });
}

function parseHead(text: string): { seq: number; mac: string } {
  const [, seq, mac] = /^(\d+):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq && mac) return { seq: Number(seq), mac };
  throw new InputError(
    'invalid_head',
    'This is no head of an audit log.',
    'Use what "lockgate audit verify" printed before.',
  );
}

function parsed(text: string): Line | null {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return null;
  }
}
