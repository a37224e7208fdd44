import { listManagers, removeManager, saveManager } from '../collections/managers.ts';
import { listSources } from '../collections/sources.ts';
import type { Database } from '../contract/database.ts';
import { CredentialNotFoundError, InputError, LockgateError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import type { SecretDirectory } from '../contract/secret-manager.ts';
import { type DeclaredManagers, MANAGER_NAME } from '../secrets/managers.ts';
import { openerId, openerOf, parseRegistered, type RegisteredSettings } from '../secrets/registered.ts';
import type { Caller, ServiceParts, Some } from './parts.ts';

export interface ManagerParts {
  readonly db: Database;
  readonly declared: DeclaredManagers;
  /** The default secret manager's half that adds and lists. */
  readonly directory: SecretDirectory;
  /** Writes down what is done with a secret manager, before it is done. */
  readonly note: ServiceParts['noteManager'];
  readonly caller: Pick<Caller, 'actor' | 'workspace'>;
}

export function managerOperations(
  parts: ServiceParts,
): Some<'managers.list' | 'managers.register' | 'managers.unregister'> {
  const { db, declared } = parts;
  const partsFor = (caller: Caller): ManagerParts => ({
    db,
    declared,
    caller,
    directory: parts.directory(declared.default ?? '', caller.workspace, caller.actor),
    note: parts.noteManager,
  });
  return {
    'managers.list': async ({ workspace }) => {
      const own = [...declared.byName.values()].filter(
        ({ workspaces }) => !workspaces || workspaces.includes(workspace),
      );
      const registered = await listManagers(db, workspace);
      return {
        items: [
          ...own.map(({ name, settings, foreign }) => ({
            name,
            backend: settings.backend as string,
            of: 'deployment' as const,
            default: name === declared.default,
            paths: [...foreign],
          })),
          ...registered.map(({ name, settings }) => ({
            name,
            backend: String(settings.backend),
            of: 'workspace' as const,
            default: false,
            paths: ['*'],
          })),
        ],
      };
    },
    'managers.register': async (caller, { name, url, opener, ...more }) => {
      const given = { backend: 'vault', address: url, ...more };
      const { backend } = await registerManager(partsFor(caller), name, given, new Secret(opener));
      return { name, backend };
    },
    'managers.unregister': async (caller, { name }) => {
      await unregisterManager(partsFor(caller), name);
      return { removed: name };
    },
  };
}

/** Brings a workspace's own manager along; what opens it becomes a secret of the default one. Throws `InputError`. */
export async function registerManager(
  { db, declared, directory, note, caller }: ManagerParts,
  name: string,
  given: unknown,
  opener: Secret<string>,
): Promise<RegisteredSettings> {
  assertFree(declared, name);
  const settings = parseRegistered(given);
  const sealed = openerOf(settings, opener);
  await note(caller, 'manager.register', name, async () => {
    // The secret first: a manager that nothing opens is of no use.
    await directory.put(openerId(name), 'manager', sealed, {});
    await saveManager(db, caller.workspace, name, settings);
  });
  return settings;
}

/** Throws `secret_manager_unknown`, and `secret_manager_in_use` while sources take credentials from it. */
export async function unregisterManager({ db, directory, note, caller }: ManagerParts, name: string): Promise<void> {
  const known = (await listManagers(db, caller.workspace)).some((each) => each.name === name);
  if (!known)
    throw new LockgateError(
      'secret_manager_unknown',
      `This workspace has registered no secret manager "${name}".`,
      'List them with: lockgate secrets managers',
    );
  const users = (await listSources(db, caller.workspace)).filter((source) => source.credentialManager === name).length;
  if (users > 0) {
    throw new LockgateError(
      'secret_manager_in_use',
      `${users === 1 ? '1 source takes' : `${users} sources take`} credentials from "${name}".`,
      'Remove them first, or move their credentials: lockgate secrets migrate --from <this> --to <another>',
    );
  }
  await note(caller, 'manager.unregister', name, async () => {
    await removeManager(db, caller.workspace, name);
    await directory.remove(openerId(name)).catch((error) => {
      if (!(error instanceof CredentialNotFoundError)) throw error;
    });
  });
}

function assertFree(declared: DeclaredManagers, name: string): void {
  if (!MANAGER_NAME.test(name))
    throw new InputError(
      'invalid_name',
      'This is no name of a secret manager.',
      'Use up to 40 lower-case letters, digits and hyphens.',
    );
  if (declared.byName.has(name) || name === 'default')
    throw new InputError('name_taken', `The deployment itself has a secret manager "${name}".`, 'Choose another name.');
}
