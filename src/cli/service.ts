import type { Given } from '../contract/api/index.ts';
import { InputError } from '../contract/errors.ts';
import { parseYaml } from '../contract/yaml.ts';
import { readText } from './input.ts';
import { type Globals, plural, print, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

export function apply(globals: Globals, options: { file: string; prune?: boolean }): Promise<void> {
  return withSession(async ({ call }) => {
    const definition = parsed(await readText(options.file));
    const { items } = await call('apply', { ...definition, ...(options.prune ? { prune: true } : {}) });
    if (globals.json) return printJson({ items });
    printTable(
      ['what', 'name', 'result'],
      items.map(({ what, name, result }) => [what, name, result]),
      'The definition has no collection.',
    );
  });
}

function parsed(text: string): Given<'apply'> {
  try {
    const definition: unknown = parseYaml(text);
    if (typeof definition === 'object' && definition !== null) return definition as Given<'apply'>;
  } catch {
    // Falls through.
  }
  throw new InputError('invalid_definition', 'The file is no definition.', 'It is YAML or JSON with "collections".');
}

export function createToken(
  globals: Globals,
  name: string,
  options: { role: Given<'tokens.create'>['role']; expiresInDays: number },
): Promise<void> {
  return withSession(async ({ call }) => {
    const made = await call('tokens.create', { name, ...options });
    if (globals.json) return printJson(made);
    print(made.token);
    print(`It may do what a ${made.role} may, until ${made.expiresAt}. It is shown this once.`);
  });
}

export function listTokens(globals: Globals): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('tokens.list', {});
    if (globals.json) return printJson({ items });
    printTable(
      ['id', 'name', 'role', 'workspace', 'last used', 'ends', 'revoked'],
      items.map((each) => [
        each.id,
        each.name,
        each.role,
        each.workspace ?? 'all',
        each.lastUsedAt,
        each.expiresAt,
        each.revokedAt,
      ]),
      'There is no token yet. Make one: lockgate tokens create my-app --role viewer',
    );
  });
}

export function revokeToken(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const answer = await call('tokens.revoke', { id });
    if (globals.json) return printJson(answer);
    print('Revoked.');
  });
}

export function createWebhook(
  globals: Globals,
  collection: string,
  url: string,
  options: { after?: number },
): Promise<void> {
  return withSession(async ({ call }) => {
    const made = await call('webhooks.create', { collection, url, ...options });
    if (globals.json) return printJson(made);
    print(made.secret);
    print(`It signs what is sent to ${made.url}. It is shown this once.`);
  });
}

export function listWebhooks(globals: Globals, collection: string): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('webhooks.list', { collection });
    if (globals.json) return printJson({ items });
    printTable(
      ['id', 'url', 'taken up to', 'state', 'next try'],
      items.map((each) => [
        each.id,
        each.url,
        each.after,
        each.error ? `${each.enabled ? 'failing' : 'stopped'}: ${each.error}` : each.enabled ? 'on' : 'off',
        each.nextAt,
      ]),
      'Nobody is told of changes.',
    );
  });
}

export function switchWebhook(globals: Globals, id: string, enabled: boolean): Promise<void> {
  return withSession(async ({ call }) => {
    const webhook = await call('webhooks.update', { id, enabled });
    if (globals.json) return printJson(webhook);
    print(enabled ? 'Switched on.' : `Switched off, after change ${webhook.after}.`);
  });
}

export function removeWebhook(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const answer = await call('webhooks.remove', { id });
    if (globals.json) return printJson(answer);
    print('Removed, with the secret that signed.');
  });
}

export function createWorkspace(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const workspace = await call('workspaces.create', { id });
    if (globals.json) return printJson(workspace);
    print(`Made the workspace ${id}. Use it with LOCKGATE_WORKSPACE=${id}.`);
  });
}

export function listWorkspaces(globals: Globals): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('workspaces.list', {});
    if (globals.json) return printJson({ items });
    printTable(
      ['id', 'since'],
      items.map((each) => [each.id, each.createdAt]),
      `There is ${plural(0, 'workspace')} yet; the first collection makes one.`,
    );
  });
}
