import { readConfig } from '../src/config.ts';
import type { ManagerSettings } from '../src/secrets/managers.ts';

/** The settings of the one secret manager that an environment asks for. */
export function managerOf(environment: Record<string, string | undefined>): ManagerSettings {
  const only = readConfig(environment).secretManagers.byName.get('default');
  if (!only) throw new Error('the environment asks for no secret manager');
  return only.settings;
}
