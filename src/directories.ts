import { SecretManagerNotConfiguredError } from './contract/errors.ts';
import type { AuditLog, SecretDirectory } from './contract/secret-manager.ts';
import { withDirectoryAudit } from './layers/audited.ts';
import { assertSecretId } from './secrets/identifier.ts';
import { type DeclaredManagers, declaredManager } from './secrets/managers.ts';
import { lazyDirectory, openDirectory } from './secrets/open-directory.ts';

export interface DirectoryParts {
  readonly declared: DeclaredManagers;
  readonly audit: AuditLog;
  readonly now: () => number;
  /** Opens a manager that a workspace registered. */
  readonly registered: (name: string, workspace: string, actor: string) => Promise<SecretDirectory>;
}

export interface Directories {
  /** The half of a manager that adds and lists, on behalf of somebody: audited. */
  directory(manager: string, workspace: string, actor: string): SecretDirectory;
}

/** The halves of the secret managers that add and list. Nothing that this reaches can read a value. */
export function openDirectories({ declared, audit, now, registered }: DirectoryParts): Directories {
  const opened = new Map<string, SecretDirectory>();
  const open = (name: string, workspace: string, actor: string): SecretDirectory => {
    if (!declared.default) throw new SecretManagerNotConfiguredError();
    const manager = declaredManager(declared, name, workspace);
    if (manager) return openDirectory(manager.settings, workspace, now);
    return lazyDirectory(() => registered(name, workspace, actor));
  };
  return {
    directory: (manager, workspace, actor) => {
      const key = `${workspace} ${manager}`;
      const directory = opened.get(key) ?? open(manager, workspace, actor);
      // A registered one is looked up each time: it may have been registered, or forgotten, meanwhile.
      if (declaredManager(declared, manager, workspace)) opened.set(key, directory);
      return withCheckedIds(withDirectoryAudit(directory, audit, { manager, workspace, actor }));
    },
  };
}

/** What is no ID may be a value that slipped into its place: it must not be written down. */
function withCheckedIds(directory: SecretDirectory): SecretDirectory {
  const checked = <T>(id: string, work: () => Promise<T>): Promise<T> => {
    assertSecretId(id);
    return work();
  };
  return {
    list: (filter) => directory.list(filter),
    describe: async (id) => checked(id, () => directory.describe(id)),
    put: async (id, type, credential, metadata) => checked(id, () => directory.put(id, type, credential, metadata)),
    remove: async (id) => checked(id, () => directory.remove(id)),
  };
}
