import { createHash } from 'node:crypto';
import { ConfigError, InputError } from '../contract/errors.ts';

export const SECRET_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Throws `InputError` unless the text can be a secret ID in every backend. */
export function assertSecretId(id: string): void {
  if (SECRET_ID.test(id)) return;
  throw new InputError(
    'invalid_secret_id',
    'The credential ID is not valid.',
    'Use up to 128 letters, digits, dots, hyphens and underscores, and begin with a letter or digit.',
  );
}

/**
 * A file name for the tuple: readable, and injective also where file names ignore case, because part of a hash of the
 * exact tuple follows.
 */
export function fileNameOf(workspace: string, id: string): string {
  return `${id.toLowerCase().slice(0, 100)}.${hashOf(workspace, id, 16)}`;
}

/** How a deployment names its secrets in a manager that many share. */
export interface Naming {
  /** Keeps deployments apart. */
  readonly prefix: string;
  /** Text with `{prefix}`, `{workspace}`, `{id}` and `{hash}`; null: as the backend has it. */
  readonly template: string | null;
}

/** What names of a backend are made of. */
export interface NameRules {
  readonly template: string;
  /** Characters that a name cannot have. */
  readonly refused: RegExp;
  readonly lowerCase?: true;
  readonly maxLength: number;
}

const HASH_CHARACTERS = 12;

/**
 * The name of a secret: spaces become hyphens, what the backend does not take is left out, and it is cut to the backend's
 * length. With `{hash}`, part of a hash of the exact tuple, no two IDs share a name; without it two IDs can, and then the
 * second is refused, because a secret keeps the tuple that it was made for.
 */
export function nameFor({ prefix, template }: Naming, rules: NameRules, workspace: string, id: string): string {
  const hash = hashOf(workspace, id, HASH_CHARACTERS);
  const normal = (text: string) => {
    const kept = text.replaceAll(' ', '-').replace(rules.refused, '');
    return rules.lowerCase ? kept.toLowerCase() : kept;
  };
  const values: Readonly<Record<string, string>> = { prefix: normal(prefix), workspace: normal(workspace), hash };
  const filled = (slug: string) =>
    (template ?? rules.template).replace(/\{(\w+)\}/g, (_, name: string) =>
      name === 'id' ? slug : (values[name] ?? ''),
    );
  const room = rules.maxLength - filled('').length;
  return filled(normal(id).slice(0, Math.max(0, room)));
}

/** What all names of a workspace begin with. */
export function beginningOf({ prefix, template }: Naming, rules: NameRules, workspace: string): string {
  const text = template ?? rules.template;
  const until = Math.min(...['{id}', '{hash}'].map((part) => text.indexOf(part)).filter((at) => at >= 0));
  return nameFor({ prefix, template: text.slice(0, until) }, rules, workspace, '');
}

/** Throws `ConfigError` unless the template can name secrets; `variable` is where it comes from. */
export function assertTemplate(template: string, variable: string): void {
  const parts = [...template.matchAll(/\{([^}]*)\}/g)].map((found) => found[1]);
  const known = ['prefix', 'workspace', 'id', 'hash'];
  const literal = template.replace(/\{[^}]*\}/g, '');
  if (parts.includes('id') && parts.every((part) => known.includes(part ?? '')) && /^[\w/.-]*$/.test(literal)) return;
  throw new ConfigError(
    `${variable} is no template of names.`,
    'It needs {id}, and may have {prefix}, {workspace}, {hash}, letters, digits, "-", "_" and "/": {prefix}-TOCK-{workspace}-{id}',
  );
}

/** Part of a hash of the exact tuple. */
export function hashOf(workspace: string, id: string, length: number): string {
  return createHash('sha256')
    .update(JSON.stringify([workspace, id]))
    .digest('hex')
    .slice(0, length);
}
