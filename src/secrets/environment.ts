import { resolve } from 'node:path';
import { ConfigError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import { assertTemplate, type Naming } from './identifier.ts';
import type { Held } from './vault/settings.ts';

/** The variables of a process, or the settings of one declared manager under the same names. */
export type Environment = Record<string, string | undefined>;

export function oneOf<const T extends string>(
  environment: Environment,
  name: string,
  values: readonly T[],
  fallback: T,
): T {
  const given = environment[name];
  if (given === undefined || given === '') return fallback;
  const found = values.find((value) => value === given);
  if (found) return found;
  throw new ConfigError(`${name} is "${given}".`, `Use one of: ${values.join(', ')}.`);
}

export function namingIn(environment: Environment): Naming {
  const prefix = environment.LOCKGATE_SECRET_PREFIX || 'lockgate';
  const template = environment.LOCKGATE_SECRET_NAME_TEMPLATE || null;
  if (template) assertTemplate(template, 'LOCKGATE_SECRET_NAME_TEMPLATE');
  if (/^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(prefix)) return { prefix, template };
  throw new ConfigError(
    'LOCKGATE_SECRET_PREFIX is not a prefix.',
    'Use up to 40 letters, digits, hyphens and underscores.',
  );
}

/** Null: the variable is not set. */
export function pathIn(environment: Environment, name: string): string | null {
  const path = environment[name];
  return path ? resolve(path) : null;
}

export function managerEndpoint(environment: Environment, name: string): string | null {
  const endpoint = environment[name];
  if (!endpoint) return null;
  if (URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol)) return new URL(endpoint).origin;
  throw new ConfigError(`${name} is not an origin.`, 'Unset it for the cloud itself.');
}

export function required(environment: Environment, name: string): string {
  const value = environment[name];
  if (value) return value;
  throw new ConfigError(`${name} is missing.`, 'LOCKGATE_VAULT_AUTH asks for it.');
}

/** What earlier readings took out of an environment, by the names of the variables. */
const takenValues = new WeakMap<Environment, Map<string, Secret<string>>>();

/** A secret of the deployment itself: a file that `<name>_FILE` names, or the variable, which is taken out of the environment. */
export function held(environment: Environment, name: string, fallback?: string): Held {
  const file = environment[`${name}_FILE`];
  if (file) return { file: resolve(file) };
  const known = takenValues.get(environment) ?? new Map<string, Secret<string>>();
  takenValues.set(environment, known);
  const value = environment[name];
  if (value) {
    known.set(name, new Secret(value));
    delete environment[name];
  }
  const taken = known.get(name);
  if (taken) return { value: taken };
  if (fallback) return { file: fallback };
  throw new ConfigError(`${name} is missing.`, `Set ${name}_FILE to a mounted file, or ${name} itself.`);
}
