import { randomBytes } from 'node:crypto';
import { checkCredential, loadConnector } from '../../connectors/index.ts';
import { resolveCollection } from '../collections/collections.ts';
import type { Place } from '../collections/sources.ts';
import { Secret } from '../contract/secret.ts';
import type { SecretDirectory } from '../contract/secret-manager.ts';
import { locate } from '../jobs/open-source.ts';
import { defaultOf } from '../secrets/managers.ts';
import { hasReferences } from '../secrets/reference.ts';
import type { ServiceParts, Some } from './parts.ts';
import { settingsOf } from './sources.ts';

/** IDs of secrets that stand in the secret manager as long as they are tried. */
const TRIED = /^lockgate-try-[0-9a-f]{16}$/;
const LEFT_OVER_MS = 3_600_000;

/** Whether a secret is only there to be tried: nobody wants to see it. */
export function isTrial(id: string): boolean {
  return TRIED.test(id);
}

/** What is tried before it is kept. */
export function trialOperations(parts: ServiceParts): Some<'secrets.try' | 'sources.preview'> {
  const { db, declared } = parts;
  return {
    'secrets.try': async ({ workspace, actor }, { type, credential, path, settings, manager }) => {
      const value = new Secret<unknown>(credential);
      locate(await loadConnector(type), { path, settings });
      if (!hasReferences(value)) await checkCredential(type, value);
      const credentialManager = manager ?? defaultOf(declared);
      const directory = parts.directory(credentialManager, workspace, actor);
      // What goes to a worker is an ID, here as elsewhere: the value waits in the secret manager, and nowhere else.
      const credentialId = `lockgate-try-${randomBytes(8).toString('hex')}`;
      const expiresAt = new Date(Date.now() + LEFT_OVER_MS).toISOString();
      try {
        await directory.put(credentialId, type, value, { expiresAt });
        const place = { ...NOTHING_SAID, connectorType: type, credentialManager, credentialId, path, settings };
        return await parts.tryPlace({ ...place, workspace, collection: null }, actor);
      } finally {
        await directory.remove(credentialId).catch(() => undefined);
        await removeLeftOver(directory).catch(() => undefined);
      }
    },
    'sources.preview': async (caller, { collection: name, ...wish }) => {
      const { name: collection } = await resolveCollection(db, caller.workspace, name);
      const { settings } = await settingsOf(parts, caller, collection, { ...NO_SCHEDULE, ...wish });
      return parts.preview({ ...settings, workspace: caller.workspace, collection }, caller.actor);
    },
  };
}

const NOTHING_SAID: Omit<
  Place,
  'workspace' | 'collection' | 'connectorType' | 'credentialManager' | 'credentialId' | 'path' | 'settings'
> = {
  credentialVersion: null,
  credentialFields: null,
  include: [],
  exclude: [],
  maxBytes: null,
  workerLabel: null,
};

const NO_SCHEDULE = {
  autoSync: false,
  schedule: null,
  guardDocuments: 0,
  guardShare: 0,
  jitterSeconds: 0,
  pauseAfter: null,
};

/** What a process that was killed while it tried something has left. */
async function removeLeftOver(directory: SecretDirectory): Promise<void> {
  for await (const { id, expiresAt } of directory.list()) {
    if (isTrial(id) && expiresAt && Date.parse(expiresAt) < Date.now()) await directory.remove(id);
  }
}
