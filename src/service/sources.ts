import { loadConnector } from '../../connectors/index.ts';
import { resolveCollection } from '../collections/collections.ts';
import { findManager } from '../collections/managers.ts';
import { findRun, requestRun } from '../collections/runs.ts';
import {
  addSource,
  findSource,
  listSources,
  moveSource,
  pauseSource,
  type Schedule,
  type SourceRecord,
  type SourceSettings,
  updateSource,
} from '../collections/sources.ts';
import type { Input } from '../contract/api/index.ts';
import type { ConnectorType } from '../contract/connector.ts';
import { InputError, LockgateError, SecretManagerNotConfiguredError } from '../contract/errors.ts';
import { intervalOf, nextDueTime, parseCron, parseInterval } from '../jobs/due-time.ts';
import { locate } from '../jobs/open-source.ts';
import { assertScope } from '../jobs/scope.ts';
import { declaredManager, defaultOf, permitsForeign, unknownManager } from '../secrets/managers.ts';
import { parseReference, type Reference } from '../secrets/reference.ts';
import { compileSelection } from '../sync/selection.ts';
import type { Caller, ServiceParts, Some } from './parts.ts';
import { removeSourceSafely } from './removal.ts';

type Wish = Omit<Input<'sources.create'>, 'collection'>;

export function sourceOperations(
  parts: ServiceParts,
): Some<
  | 'sources.list'
  | 'collections.sources'
  | 'sources.create'
  | 'sources.get'
  | 'sources.update'
  | 'sources.remove'
  | 'sources.move'
  | 'sources.pause'
  | 'sources.resume'
  | 'sources.check'
  | 'sources.sync'
> {
  const { db, queue } = parts;
  return {
    'sources.list': async ({ workspace }, { collection: name }) => {
      const of = name ? (await resolveCollection(db, workspace, name)).id : undefined;
      return { items: await listSources(db, workspace, of) } as never;
    },
    'collections.sources': async ({ workspace }, { collection: name }) => {
      const { id } = await resolveCollection(db, workspace, name);
      return { items: await listSources(db, workspace, id) } as never;
    },
    'sources.create': async (caller, { collection: name, ...wish }) => {
      const collection = await resolveCollection(db, caller.workspace, name);
      const { settings, firstDueAt } = await settingsOf(parts, caller, collection.name, wish);
      return addSource(db, caller.workspace, collection.id, settings, firstDueAt) as never;
    },
    'sources.get': ({ workspace }, { id }) => findSource(db, workspace, id) as never,
    'sources.update': (caller, input) => update(parts, caller, input) as never,
    'sources.remove': async ({ workspace }, { id, documents }) => {
      const source = await findSource(db, workspace, id);
      const removed = await removeSourceSafely(db, source, documents);
      return { removed: id, documents: removed };
    },
    'sources.move': async ({ workspace }, { id, collection: name }) => {
      const source = await findSource(db, workspace, id);
      const target = await resolveCollection(db, workspace, name);
      await moveSource(db, source, target.id);
      return findSource(db, workspace, id) as never;
    },
    'sources.pause': async ({ workspace, actor }, { id }) => {
      await pauseSource(db, (await findSource(db, workspace, id)).id, `Paused by ${actor}.`);
      return findSource(db, workspace, id) as never;
    },
    'sources.resume': async ({ workspace }, { id }) => {
      await pauseSource(db, (await findSource(db, workspace, id)).id, null);
      return findSource(db, workspace, id) as never;
    },
    'sources.check': async ({ workspace, actor }, { id }) => {
      return parts.check(await findSource(db, workspace, id), actor) as never;
    },
    'sources.sync': async ({ workspace }, { id }) => {
      const source = await findSource(db, workspace, id);
      const runId = await requestRun(db, source.id, 'manual');
      await (await queue()).send(runId);
      return findRun(db, workspace, runId) as never;
    },
  };
}

async function update(
  parts: ServiceParts,
  caller: Caller,
  { id, ...change }: Input<'sources.update'>,
): Promise<SourceRecord> {
  const { db } = parts;
  const known = await findSource(db, caller.workspace, id);
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  // Whoever gives it its first schedule wants it to be followed.
  const first = known.schedule === null && change.schedule ? { autoSync: true } : {};
  const wish = { ...wishOf(known), ...first, ...given } as Wish;
  const { settings, firstDueAt } = await settingsOf(parts, caller, known.collection, wish);
  const same = JSON.stringify(settings.schedule) === JSON.stringify(known.schedule);
  await updateSource(db, id, settings, same && known.autoSync === settings.autoSync ? known.nextDueAt : firstDueAt);
  return findSource(db, caller.workspace, id);
}

/** What a source would be created with, to be the same as it is. */
function wishOf(source: SourceSettings): Omit<Wish, 'credentialId'> & { credentialId: string } {
  const { credentialManager, credentialId, credentialVersion, credentialFields, ...rest } = source;
  return {
    connectorType: rest.connectorType,
    credentialId: `${credentialManager}:${credentialId}${credentialVersion ? `#${credentialVersion}` : ''}`,
    ...(credentialFields ? { credentialFields: { ...credentialFields } } : {}),
    path: rest.path,
    settings: { ...rest.settings },
    include: [...rest.include],
    exclude: [...rest.exclude],
    maxBytes: rest.maxBytes,
    autoSync: rest.autoSync,
    schedule: rest.schedule as Wish['schedule'],
    guardDocuments: rest.guardDocuments,
    guardShare: rest.guardShare,
    jitterSeconds: rest.jitterSeconds,
    pauseAfter: rest.pauseAfter,
    workerLabel: rest.workerLabel,
  };
}

/** What is stored of a wish. Throws `InputError` that says what is wrong with it. */
export async function settingsOf(
  { db, declared, directory }: Pick<ServiceParts, 'db' | 'declared' | 'directory'>,
  caller: Caller,
  collection: string,
  wish: Wish,
): Promise<{ settings: SourceSettings; firstDueAt: Date | null }> {
  const { connectorType, path, settings, include, exclude, maxBytes } = wish;
  locate(await loadConnector(connectorType), { path, settings });
  compileSelection({ include, exclude, maxBytes });
  const { schedule, firstDueAt } = scheduleOf(wish.schedule);
  const reference = parseReference(wish.credentialId, declared, defaultOf(declared));
  if (!declared.default) throw new SecretManagerNotConfiguredError();
  const known = declaredManager(declared, reference.manager, caller.workspace);
  if (!known && !(await findManager(db, caller.workspace, reference.manager))) throw unknownManager(reference.manager);
  const describe = () => directory(reference.manager, caller.workspace, caller.actor).describe(reference.secretId);
  await assertCredential({ declared, describe }, caller, reference, { connectorType, path, collection });
  const autoSync = schedule !== null && wish.autoSync;
  return {
    settings: {
      connectorType,
      credentialManager: reference.manager,
      credentialId: reference.secretId,
      credentialVersion: reference.version,
      credentialFields: wish.credentialFields ?? null,
      path,
      settings,
      include,
      exclude,
      maxBytes,
      autoSync,
      schedule,
      guardDocuments: wish.guardDocuments,
      guardShare: wish.guardShare,
      jitterSeconds: wish.jitterSeconds,
      pauseAfter: wish.pauseAfter,
      workerLabel: wish.workerLabel,
    },
    firstDueAt: autoSync ? firstDueAt : null,
  };
}

export function scheduleOf(given: Wish['schedule']): { schedule: Schedule | null; firstDueAt: Date | null } {
  if (!given) return { schedule: null, firstDueAt: null };
  const now = new Date();
  // An interval begins now; a cron expression at its first due time.
  if ('every' in given) return { schedule: parseInterval(given.every), firstDueAt: now };
  if ('everySeconds' in given) return { schedule: intervalOf(given.everySeconds), firstDueAt: now };
  const schedule = parseCron(given.cron, given.timezone);
  return { schedule, firstDueAt: nextDueTime(schedule, now) };
}

/** Early and friendly; what counts is what the worker finds when it accesses the secret. */
async function assertCredential(
  {
    declared,
    describe,
  }: {
    declared: ServiceParts['declared'];
    describe: () => Promise<import('../contract/secret-manager.ts').SecretInfo>;
  },
  { workspace }: Caller,
  reference: Reference,
  use: { connectorType: ConnectorType; path: string; collection: string },
): Promise<void> {
  const { manager, secretId } = reference;
  const known = declaredManager(declared, manager, workspace);
  const info = await describe().catch((error) => {
    const { code } = error as LockgateError;
    // Only workers can look into a workspace's own manager, and none may run now.
    if (!known && code === 'no_worker') return null;
    // A secret of another tool has no description of ours.
    const foreign = known ? permitsForeign(known, secretId) : true;
    if (foreign && (code === 'credential_not_found' || error instanceof InputError)) return null;
    throw error;
  });
  if (!info) return;
  assertScope({ scope: info.scope, ref: { manager, workspace, secretId, version: '' } }, use);
  if (info.connectorType === use.connectorType) return;
  throw new LockgateError(
    'credential_wrong_type',
    `"${secretId}" is a credential of type ${info.connectorType}, not ${use.connectorType}.`,
    `List the fitting ones: lockgate secrets list --type ${use.connectorType}`,
  );
}
