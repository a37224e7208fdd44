import { readConfig } from '../src/config.ts';
import type { ManagerSettings } from '../src/secrets/managers.ts';

/** The settings of the one secret manager that an environment asks for. */
export function managerOf(environment: Record<string, string | undefined>): ManagerSettings {
  const only = readConfig(environment).secretManagers.byName.get('default');
  if (!only) throw new Error('the environment asks for no secret manager');
  return only.settings;
}

export const purpose = { actor: 'test', reason: 'test' };

/** Of a secret in the default manager and workspace. */
export const ref = (secretId: string, version?: string) => ({
  manager: 'default',
  workspace: 'default',
  secretId,
  ...(version ? { version } : {}),
});

/** Waits for nothing. */
export const quickClock = { now: Date.now, sleep: async () => undefined };
