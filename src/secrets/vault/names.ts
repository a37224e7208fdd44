import { SECRET_TYPES, type SecretType } from '../../contract/secret-manager.ts';
import { beginningOf, type NameRules, nameFor } from '../identifier.ts';
import type { VaultSettings } from './settings.ts';

const RULES: NameRules = { template: '{prefix}/{workspace}/{id}-{hash}', refused: /[^A-Za-z0-9._/-]/g, maxLength: 500 };

/** Where a secret lies in the engine's tree. */
export function nameOf(settings: VaultSettings, workspace: string, id: string): string {
  return nameFor(settings, RULES, workspace, id);
}

/** The folder where the secrets of a workspace lie, with its slash; empty: the engine's root. */
export function folderOf(settings: VaultSettings, workspace: string): string {
  const beginning = beginningOf(settings, RULES, workspace);
  return beginning.slice(0, beginning.lastIndexOf('/') + 1);
}

/** Version 1 of the engine keeps nothing beside a value, so what a secret is stands in its path. */
export function typedName(name: string, type: SecretType): string {
  const at = name.lastIndexOf('/') + 1;
  return `${name.slice(0, at)}${type}/${name.slice(at)}`;
}

export function typedNames(name: string): [type: SecretType, name: string][] {
  return SECRET_TYPES.map((type) => [type, typedName(name, type)]);
}

/** The ID that a leaf of a workspace's folder was made of; null: it was made of none. */
export function idOf(settings: VaultSettings, workspace: string, leaf: string): string | null {
  const folder = folderOf(settings, workspace);
  const template = settings.template ?? RULES.template;
  const pattern = template.slice(template.lastIndexOf('/') + 1);
  const source = pattern
    .split(/(\{\w+\})/)
    .map((part) => {
      if (part === '{id}') return '(.+)';
      if (part === '{hash}') return '[0-9a-f]{12}';
      return escaped(part.replace('{prefix}', settings.prefix).replace('{workspace}', workspace));
    })
    .join('');
  const id = new RegExp(`^${source}$`).exec(leaf)?.[1];
  return id && nameOf(settings, workspace, id) === folder + leaf ? id : null;
}

/** What a path is made of is encoded; nothing that a person wrote can leave the engine's tree. */
export function pathOf({ mount }: VaultSettings, area: 'data' | 'metadata' | null, name: string): string {
  const encoded = name
    .split('/')
    .filter((segment) => segment !== '' && segment !== '.' && segment !== '..')
    .map(encodeURIComponent)
    .join('/');
  return area ? `${mount}/${area}/${encoded}` : `${mount}/${encoded}`;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
