import type { SecretReader } from '../contract/secret-manager.ts';
import { type DeclaredManagers, declaredManager, type NamedManager } from './managers.ts';
import { openReader } from './open-reader.ts';
import type { FindReader } from './routed-reader.ts';

/** A manager that a workspace has registered; null: there is none. Asked for whenever one is used, so that it may change. */
export type FindRegistered = (name: string, workspace: string) => Promise<NamedManager | null>;

/** Opens each manager once for as long as its settings are the same ones. */
export function findReaders(declared: DeclaredManagers, registered: FindRegistered): FindReader {
  const opened = new WeakMap<NamedManager, SecretReader>();
  return async (name, workspace) => {
    const manager = declaredManager(declared, name, workspace) ?? (await registered(name, workspace));
    if (!manager) return null;
    const reader = opened.get(manager) ?? openReader(manager.settings);
    opened.set(manager, reader);
    return { manager, reader };
  };
}
