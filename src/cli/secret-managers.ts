import { listSources } from '../collections/sources.ts';
import { CredentialNotFoundError, InputError } from '../contract/errors.ts';
import { migrateSecrets } from '../jobs/secret-migration.ts';
import type { App } from '../main.ts';
import { type ManagerParts, registerManager, unregisterManager } from '../service/managers.ts';
import { ask, askSecret, readText } from './input.ts';
import { type Globals, plural, print, printJson, printTable } from './present.ts';
import { withApp, withSession } from './session.ts';

/** The secret managers that this workspace can use. */
export function managers(globals: Globals): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('managers.list', {});
    if (globals.json) return printJson({ items });
    printTable(
      ['name', 'backend', 'of', 'default', 'paths'],
      items.map((each) => [each.name, each.backend, each.of, each.default ? 'yes' : '', each.paths.join(', ')]),
      'No secret manager is switched on. Unset LOCKGATE_SECRET_MANAGER for the encrypted file store.',
    );
  });
}

interface RegisterOptions {
  readonly url?: string;
  readonly namespace?: string;
  readonly mount?: string;
  readonly kv?: string;
  readonly caFile?: string;
  readonly auth?: string;
  readonly authPath?: string;
  readonly roleId?: string;
  readonly prefix?: string;
}

/** Brings a workspace's own Vault along. Its token or secret ID is asked for, and becomes a secret of the default manager. */
export function register(globals: Globals, name: string, options: RegisterOptions): Promise<void> {
  return withApp(async (app) => {
    const { url, kv, caFile, ...more } = options;
    const given = {
      backend: 'vault',
      address: url ?? (await ask('Address of the Vault, such as https://vault.internal:8200: ')),
      ...more,
      ...(kv ? { kv: Number(kv) } : {}),
      ...(caFile ? { ca: await readText(caFile) } : {}),
    };
    const opener = await askSecret(more.auth === 'approle' ? 'Secret ID of the role: ' : 'Token: ');
    const settings = await registerManager(await managerParts(app), name, given, opener);
    const count = (await Array.fromAsync(app.secrets(name).list())).length;
    if (globals.json) return printJson({ name, ...settings, secrets: count });
    print(`Registered ${name}; it opens, and has ${plural(count, 'credential')} of Lockgate's.`);
    print(`Use a secret in it: lockgate sources add --credential ${name}:path/to/secret ...`);
  });
}

export function unregister(globals: Globals, name: string): Promise<void> {
  return withApp(async (app) => {
    await unregisterManager(await managerParts(app), name);
    if (globals.json) return printJson({ removed: name });
    print(`Removed ${name} and what opened it. The secrets in it are where they were.`);
  });
}

interface MigrateOptions {
  readonly from: string;
  readonly to: string;
  readonly secret: string[];
  readonly dryRun?: boolean;
}

export function migrate(globals: Globals, options: MigrateOptions): Promise<void> {
  return withApp(async (app) => {
    const { from, to, secret, dryRun } = options;
    if (from === to || app.namesOf(from).includes(to))
      throw new InputError('invalid_migration', '--from and --to are the same secret manager.');
    const ids = secret.length > 0 ? secret : (await Array.fromAsync(app.secrets(from).list())).map(({ id }) => id);
    if (dryRun) return preview(globals, app, options, ids);
    const items: object[] = [];
    const { sources } = await migrateSecrets(
      {
        db: await app.database(),
        from: app.secrets(from),
        to: app.secrets(to),
        reader: app.stored,
        audit: app.audit,
        actor: app.actor,
      },
      { workspace: app.config.workspace, from, to, aliases: app.namesOf(from), ids },
      (migrated) => {
        items.push(migrated);
        if (globals.json) return;
        const { id, copied, known, unreadable } = migrated;
        print(`${id}: ${plural(copied, 'version')} copied${known > 0 ? `, ${known} before` : ''}, read back and equal`);
        if (unreadable.length > 0) print(`  not readable where they are, and left: ${unreadable.join(', ')}`);
      },
    );
    if (globals.json) return printJson({ items, sources });
    print(`${plural(sources, 'source')} switched from ${from} to ${to}. The secrets in ${from} are as they were.`);
  });
}

async function preview(
  globals: Globals,
  app: App,
  { from, to }: MigrateOptions,
  ids: readonly string[],
): Promise<void> {
  const names = app.namesOf(from);
  const sources = await listSources(await app.database(), app.config.workspace);
  const items = [];
  for (const id of ids) {
    const info = await app.secrets(from).describe(id);
    const there = await app
      .secrets(to)
      .describe(id)
      .then(() => true)
      .catch((error) => {
        if (error instanceof CredentialNotFoundError) return false;
        throw error;
      });
    const users = sources.filter((each) => each.credentialId === id && names.includes(each.credentialManager)).length;
    items.push({ id, type: info.connectorType, versions: info.versions?.length ?? null, sources: users, there });
  }
  if (globals.json) return printJson({ dryRun: true, items });
  printTable(
    ['id', 'type', 'versions', 'sources', `in ${to}`],
    items.map((each) => [each.id, each.type, each.versions, each.sources, each.there ? 'is compared' : 'new']),
    `There is nothing in ${from}.`,
  );
  print('Nothing was copied and nothing switched: this was a dry run.');
}

async function managerParts(app: App): Promise<ManagerParts> {
  const { actor, config } = app;
  return {
    db: await app.database(),
    declared: config.secretManagers,
    directory: app.secrets(),
    note: (_caller, action, manager, work) => app.noteManager(action, manager, work),
    caller: { actor, workspace: config.workspace },
  };
}
