import { loadConnector } from '../../connectors/index.ts';
import { findCollection } from '../collections/collections.ts';
import { listRuns } from '../collections/runs.ts';
import {
  addSource,
  findSource,
  listSources,
  removeSource,
  removeSourceDocuments,
  type Schedule,
  type SourceRecord,
} from '../collections/sources.ts';
import type { ConnectorType } from '../contract/connector.ts';
import { CredentialNotFoundError, InputError, LockgateError } from '../contract/errors.ts';
import { runLock } from '../jobs/crawl.ts';
import { nextDueTime, parseCron, parseInterval } from '../jobs/due-time.ts';
import { locate, openSource } from '../jobs/open-source.ts';
import { assertScope } from '../jobs/scope.ts';
import type { App } from '../main.ts';
import { permitsForeign } from '../secrets/managers.ts';
import { formatReference, parseReference, type Reference } from '../secrets/reference.ts';
import { compileSelection } from '../sync/selection.ts';
import { EXIT } from './exit.ts';
import { type Globals, print, printFacts, printJson, printTable } from './present.ts';
import { withApp } from './session.ts';

const REMOVALS_AT_ONCE = 1000;

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
}

export function add(globals: Globals, options: AddOptions): Promise<void> {
  return withApp(async (app) => {
    const { schedule, firstDueAt } = scheduleOf(options);
    const settings = parseSettings(options.set);
    locate(await loadConnector(options.type), { path: options.path, settings });
    const rules = { include: options.include, exclude: options.exclude, maxBytes: options.maxBytes ?? null };
    compileSelection(rules);
    if (options.guardShare > 1) throw new InputError('invalid_guard', '--guard-share is a share, from 0 to 1.');
    const reference = parseReference(options.credential, app.config.secretManagers, app.defaultManager);
    await assertCredential(app, reference, options);
    const db = await app.database();
    const collection = await findCollection(db, app.config.workspace, options.collection);
    const source = await addSource(
      db,
      app.config.workspace,
      collection.id,
      {
        connectorType: options.type,
        credentialManager: reference.manager,
        credentialId: reference.secretId,
        credentialVersion: reference.version,
        credentialFields: parseFieldNames(options.credentialField),
        path: options.path,
        settings,
        ...rules,
        autoSync: schedule !== null && options.autoSync,
        schedule,
        guardDocuments: options.guardDocuments,
        guardShare: options.guardShare,
      },
      firstDueAt,
    );
    if (globals.json) return printJson(source);
    print(`Added source ${source.id}.`);
    print(
      source.autoSync
        ? `It syncs by itself while a worker runs (lockgate worker); next: ${source.nextDueAt?.toISOString()}.`
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

function scheduleOf(options: AddOptions): { schedule: Schedule | null; firstDueAt: Date | null } {
  if (options.cron !== undefined && options.every !== undefined) {
    throw new InputError('invalid_schedule', 'A source has either --cron or --every.');
  }
  const now = new Date();
  // An interval begins now; a cron expression at its first due time.
  if (options.every !== undefined) return { schedule: parseInterval(options.every), firstDueAt: now };
  if (options.cron === undefined) return { schedule: null, firstDueAt: null };
  const schedule = parseCron(options.cron, options.timezone);
  return { schedule, firstDueAt: nextDueTime(schedule, now) };
}

/** Early and friendly; what counts is what the worker finds when it accesses the secret. */
async function assertCredential(app: App, { manager, secretId }: Reference, options: AddOptions): Promise<void> {
  const declared = app.config.secretManagers.byName.get(manager);
  const info = await app
    .secrets(manager)
    .describe(secretId)
    .catch((error) => {
      // A secret of another tool has no description of ours.
      const foreign = declared ? permitsForeign(declared, secretId) : true;
      if (foreign && (error instanceof CredentialNotFoundError || error instanceof InputError)) return null;
      throw error;
    });
  if (!info) return;
  const ref = { manager, workspace: app.config.workspace, secretId, version: '' };
  assertScope({ scope: info.scope, ref }, { path: options.path, collection: options.collection });
  if (info.connectorType === options.type) return;
  throw new LockgateError(
    'credential_wrong_type',
    `"${options.credential}" is a credential of type ${info.connectorType}, not ${options.type}.`,
    `List the fitting ones: lockgate secrets list --type ${options.type}`,
  );
}

export function check(globals: Globals, id: string): Promise<void> {
  return withApp(async (app) => {
    const record = await findSource(await app.database(), app.config.workspace, id);
    const { source } = await openSource(
      {
        connectorType: record.connectorType,
        manager: record.credentialManager,
        workspace: record.workspace,
        credentialId: record.credentialId,
        credentialVersion: record.credentialVersion,
        credentialFields: record.credentialFields,
        collection: record.collection,
        path: record.path,
        settings: record.settings,
        purpose: { actor: 'cli', reason: 'check', sourceId: record.id },
      },
      app.sourceParts(record.workspace),
    );
    await using open = source;
    const report = await open.check(new AbortController().signal);
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
  return withApp(async (app) => {
    const db = await app.database();
    const of = options.collection ? (await findCollection(db, app.config.workspace, options.collection)).id : undefined;
    const items = await listSources(db, app.config.workspace, of);
    if (globals.json) return printJson({ items });
    printSources(items);
  });
}

export function printSources(sources: readonly SourceRecord[]): void {
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
      each.autoSync ? each.nextDueAt : null,
    ]),
    'There is no source yet. Add one: lockgate sources add --help',
  );
}

export function remove(globals: Globals, id: string): Promise<void> {
  return withApp(async (app) => {
    const db = await app.database();
    const source = await findSource(db, app.config.workspace, id);
    const active = (await listRuns(db, app.config.workspace, { sourceId: source.id }, 1)).find(
      ({ state }) => state === 'queued' || state === 'running',
    );
    await using lock = active ? await db.tryLock(runLock(active.id)) : null;
    if (active && !lock) {
      throw new LockgateError(
        'source_busy',
        'The source is being synced.',
        `Cancel the run first: lockgate runs cancel ${active.id}`,
      );
    }
    let removed = 0;
    for (let some = 1; some > 0; removed += some) some = await removeSourceDocuments(db, source, REMOVALS_AT_ONCE);
    await removeSource(db, source.id);
    if (globals.json) return printJson({ removed: source.id, documents: removed });
    print(`Removed the source and ${removed} documents.`);
  });
}
