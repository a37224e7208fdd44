import type { Answer, Given } from '../contract/api/index.ts';
import type { ConnectorType } from '../contract/connector.ts';
import { InputError } from '../contract/errors.ts';
import { formatReference } from '../secrets/reference.ts';
import { EXIT } from './exit.ts';
import { type Globals, print, printFacts, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

type Source = Answer<'sources.list'>['items'][number];

interface AddOptions {
  readonly collection: string;
  readonly type: ConnectorType;
  readonly credential: string;
  readonly path: string;
  readonly include: string[];
  readonly exclude: string[];
  readonly set: string[];
  readonly credentialField: string[];
  readonly maxBytes?: number;
  readonly cron?: string;
  readonly timezone: string;
  readonly every?: string;
  readonly autoSync: boolean;
  readonly guardDocuments: number;
  readonly guardShare: number;
  readonly jitter: number;
  readonly pauseAfter: number;
  readonly workerLabel?: string;
}

export function add(globals: Globals, options: AddOptions): Promise<void> {
  return withSession(async ({ call }) => {
    if (options.guardShare > 1) throw new InputError('invalid_guard', '--guard-share is a share, from 0 to 1.');
    const credentialFields = parseFieldNames(options.credentialField);
    const source = await call('sources.create', {
      collection: options.collection,
      connectorType: options.type,
      credentialId: options.credential,
      ...(credentialFields ? { credentialFields } : {}),
      path: options.path,
      settings: parseSettings(options.set),
      include: options.include,
      exclude: options.exclude,
      maxBytes: options.maxBytes ?? null,
      schedule: scheduleOf(options),
      autoSync: options.autoSync,
      guardDocuments: options.guardDocuments,
      guardShare: options.guardShare,
      jitterSeconds: options.jitter,
      pauseAfter: options.pauseAfter === 0 ? null : options.pauseAfter,
      workerLabel: options.workerLabel ?? null,
    });
    if (globals.json) return printJson(source);
    print(`Added source ${source.id}.`);
    print(
      source.autoSync
        ? `It syncs by itself while a worker runs (lockgate worker); next: ${source.nextDueAt}.`
        : 'It syncs when asked to.',
    );
    print(`Sync it now: lockgate sync ${options.collection}`);
  });
}

/** `ours=theirs` each; null: none. */
function parseFieldNames(words: readonly string[]): Record<string, string> | null {
  if (words.length === 0) return null;
  return Object.fromEntries(
    words.map((word) => {
      const [, ours, theirs] = /^([a-z_][a-z0-9_]{0,39})=(.{1,128})$/i.exec(word) ?? [];
      if (ours && theirs) return [ours, theirs];
      throw new InputError(
        'invalid_settings',
        '--credential-field takes field=name in the secret.',
        'Such as --credential-field access_key_id=AWS_ACCESS_KEY_ID',
      );
    }),
  );
}

/** `name=value` each; a value that is JSON, such as `true`, is taken as that. */
function parseSettings(words: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw new InputError('invalid_settings', '--set takes name=value.', 'Such as --set site_pages=true');
      const value = word.slice(at + 1);
      try {
        return [word.slice(0, at), JSON.parse(value)];
      } catch {
        return [word.slice(0, at), value];
      }
    }),
  );
}

function scheduleOf(options: AddOptions): Given<'sources.create'>['schedule'] {
  if (options.cron !== undefined && options.every !== undefined) {
    throw new InputError('invalid_schedule', 'A source has either --cron or --every.');
  }
  if (options.every !== undefined) return { every: options.every };
  return options.cron === undefined ? null : { cron: options.cron, timezone: options.timezone };
}

export function check(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call, app }) => {
    app?.prepare();
    const report = await call('sources.check', { id });
    if (!report.readable) process.exitCode = EXIT.failed;
    if (globals.json) return printJson(report);
    printFacts([
      ['reachable', report.reachable ? 'yes' : 'no'],
      ['readable', report.readable ? 'yes' : 'no'],
    ]);
    if (report.problem) print(`\n${report.problem.message}${report.problem.hint ? `\n${report.problem.hint}` : ''}`);
    for (const warning of report.warnings) print(`note: ${warning}`);
  });
}

export function list(globals: Globals, options: { collection?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('sources.list', options);
    if (globals.json) return printJson({ items });
    printSources(items);
  });
}

export function printSources(sources: readonly Source[]): void {
  printTable(
    ['id', 'collection', 'path', 'credential', 'documents', 'next sync'],
    sources.map((each) => [
      each.id,
      each.collection,
      each.path,
      formatReference(
        { manager: each.credentialManager, secretId: each.credentialId, version: each.credentialVersion },
        'default',
      ),
      each.documents,
      each.pausedAt ? `paused: ${each.pausedReason}` : each.autoSync ? each.nextDueAt : null,
    ]),
    'There is no source yet. Add one: lockgate sources add --help',
  );
}

export function remove(globals: Globals, id: string, options: { keepDocuments?: boolean }): Promise<void> {
  return withSession(async ({ call }) => {
    const answer = await call('sources.remove', { id, documents: options.keepDocuments ? 'keep' : 'remove' });
    if (globals.json) return printJson(answer);
    print(
      options.keepDocuments
        ? 'Removed the source; its documents stay as they are.'
        : `Removed the source and ${answer.documents} documents.`,
    );
  });
}

export function pause(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const source = await call('sources.pause', { id });
    if (globals.json) return printJson(source);
    print(`Paused. It syncs when asked to, and by itself again with: lockgate sources resume ${id}`);
  });
}

export function resume(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const source = await call('sources.resume', { id });
    if (globals.json) return printJson(source);
    print(source.nextDueAt ? 'Resumed: it is due now.' : 'Resumed; it has no schedule.');
  });
}

export function move(globals: Globals, id: string, collection: string): Promise<void> {
  return withSession(async ({ call }) => {
    const source = await call('sources.move', { id, collection });
    if (globals.json) return printJson(source);
    print(`The source and its ${source.documents} documents are in ${collection} now.`);
  });
}

const CHANGES = ['path', 'include', 'exclude', 'maxBytes', 'guardDocuments', 'guardShare', 'autoSync'] as const;

interface UpdateOptions
  extends Partial<Pick<AddOptions, (typeof CHANGES)[number] | 'credential' | 'set' | 'cron' | 'every'>> {
  readonly timezone: string;
  readonly noSchedule?: boolean;
}

export function update(globals: Globals, id: string, options: UpdateOptions): Promise<void> {
  return withSession(async ({ call }) => {
    const { cron, every, timezone, set, credential } = options;
    const schedule = every !== undefined ? { every } : cron !== undefined ? { cron, timezone } : undefined;
    const source = await call('sources.update', {
      id,
      ...Object.fromEntries(CHANGES.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]]))),
      ...(credential ? { credentialId: credential } : {}),
      ...(set && set.length > 0 ? { settings: parseSettings(set) } : {}),
      ...(schedule ? { schedule } : {}),
    });
    if (globals.json) return printJson(source);
    print(`Changed. ${source.autoSync ? `Next sync: ${source.nextDueAt}.` : 'It syncs when asked to.'}`);
  });
}
