import { credentialSchema, describeCredential } from '../../connectors/index.ts';
import { CONNECTOR_TYPES, type ConnectorType } from '../contract/connector.ts';
import { InputError } from '../contract/errors.ts';
import { parseFields } from '../contract/fields.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretInfo, SecretMetadata, SecretScope } from '../contract/secret-manager.ts';
import type { App } from '../main.ts';
import { DatabaseCredential } from '../secrets/deployment.ts';
import { hasReferences } from '../secrets/reference.ts';
import { putCredential } from '../service/secrets.ts';
import { readSecret } from './input.ts';
import { type Globals, plural, print, printFacts, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

interface PutOptions {
  readonly type: ConnectorType | 'database';
  readonly file?: string;
  readonly manager?: string;
  readonly forCollection: string[];
  readonly forPath: string[];
  readonly anyUse?: boolean;
  readonly expires?: string;
}

export function put(globals: Globals, id: string, options: PutOptions): Promise<void> {
  return withSession(
    async ({ app, remote }) => {
      const usage = 'lockgate secrets put <id> --type <type> < credential.json';
      const credential = parseJson(await readSecret(options.file, usage));
      const metadata = metadataOf(options);
      const { type, manager } = options;
      const info =
        type === 'database'
          ? await putDatabase(app, id, credential, metadata, manager)
          : app
            ? await putCredential(app.secrets(manager), id, type, credential, metadata)
            : await remote.putSecret({ id, type, ...(manager ? { manager } : {}), ...metadata }, credential);
      if (globals.json) return printJson(info);
      print(`Stored ${id}, version ${info.versions?.[0]?.version}, for ${describeType(type)}.`);
      if (hasReferences(credential)) print('Its fields are put together, and checked, when it is used.');
      if (info.expiresAt) print(`It ends ${info.expiresAt}.`);
    },
    { opensDatabase: false },
  );
}

/** What opens the deployment's own database is not for the service to take in. */
async function putDatabase(
  app: App | null,
  id: string,
  credential: Secret<unknown>,
  metadata: SecretMetadata,
  manager: string | undefined,
): Promise<SecretInfo> {
  if (!app) throw new InputError('not_remote', "The database's credential is stored where Lockgate itself runs.");
  credential.map((value) => parseFields(DatabaseCredential, value, 'invalid_credential', 'database credential'));
  return app.secrets(manager).put(id, 'database', credential, metadata);
}

function metadataOf(options: PutOptions): SecretMetadata {
  const { forCollection: collections, forPath: paths, anyUse, expires } = options;
  if (anyUse && (collections.length > 0 || paths.length > 0))
    throw new InputError('invalid_scope', 'Give either --any-use or --for-collection and --for-path.');
  if (expires !== undefined && Number.isNaN(Date.parse(expires)))
    throw new InputError('invalid_time', '--expires is no time.', 'Such as 2027-03-31 or 2027-03-31T12:00:00Z');
  const scope: SecretScope = {
    ...(collections.length > 0 ? { collections } : {}),
    ...(paths.length > 0 ? { paths } : {}),
  };
  return {
    ...(anyUse || collections.length > 0 || paths.length > 0 ? { scope } : {}),
    ...(expires ? { expiresAt: new Date(expires).toISOString() } : {}),
  };
}

function describeType(type: SecretInfo['connectorType']): string {
  return CONNECTOR_TYPES.some((known) => known === type) ? `connector type ${type}` : `the ${type}`;
}

/** What a credential of a type is made of; with `--json`, its JSON Schema. */
export async function schema(globals: Globals, options: { type: ConnectorType }): Promise<void> {
  if (globals.json) return printJson(await credentialSchema(options.type));
  for (const { name, secret, values, description } of await describeCredential(options.type)) {
    const meaning = [values?.join(' | '), description].filter(Boolean).join('. ');
    print(`${name}${secret ? ' (secret)' : ''}${meaning ? `: ${meaning}` : ''}`);
  }
}

export function list(globals: Globals, options: { type?: ConnectorType; manager?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('secrets.list', options);
    if (globals.json) return printJson({ items });
    printTable(
      ['id', 'type', 'versions', 'latest since', 'ends'],
      items.map((each) => [
        each.id,
        each.connectorType,
        each.versions?.length,
        date(each.versions?.[0]?.createdAt),
        date(each.expiresAt),
      ]),
      'There is no credential yet. Add one: lockgate secrets put my-creds --type s3 < credential.json',
    );
  });
}

export function describe(globals: Globals, id: string, options: { manager?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const { sources, ...info } = await call('secrets.describe', { id, ...options });
    if (globals.json) return printJson({ ...info, sources });
    const [latest, ...older] = info.versions ?? [];
    printFacts([
      ['id', info.id],
      ['type', info.connectorType],
      ['latest version', latest?.version],
      ['since', date(latest?.createdAt)],
      ['age', age(latest?.createdAt)],
      ['ends', endText(info.expiresAt)],
      ['only for collections', info.scope?.collections?.join(', ')],
      ['only for paths', info.scope?.paths?.join(', ')],
      ['used by', sources.map((source) => `${source.collection}: ${source.path}`).join('; ')],
    ]);
    if (older.length === 0) return;
    print('\nOlder versions:');
    printTable(
      ['version', 'since', 'age'],
      older.map(({ version, createdAt }) => [version, date(createdAt), age(createdAt)]),
      '',
    );
  });
}

export function remove(globals: Globals, id: string, options: { force?: boolean; manager?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const { force = false, ...where } = options;
    const removed = await call('secrets.remove', { id, force, ...where });
    if (globals.json) return printJson(removed);
    print(`Removed ${id} with all its versions.`);
  });
}

function parseJson(text: Secret<string>): Secret<unknown> {
  return text.map((json) => {
    try {
      return JSON.parse(json) as unknown;
    } catch {
      // Not the parser's own message: it quotes the text.
      throw new InputError(
        'invalid_credential',
        'The credential is not JSON.',
        'Give one JSON object, such as { "access_key_id": "...", "secret_access_key": "..." }',
      );
    }
  });
}

function date(text: string | null | undefined): Date | null {
  return text ? new Date(text) : null;
}

const DAY_MS = 24 * 3_600_000;

function age(createdAt: string | null | undefined): string | null {
  return createdAt ? plural(Math.floor((Date.now() - Date.parse(createdAt)) / DAY_MS), 'day') : null;
}

function endText(expiresAt: string | null): string | null {
  if (!expiresAt) return null;
  const left = Math.floor((Date.parse(expiresAt) - Date.now()) / DAY_MS);
  return `${expiresAt.slice(0, 19).replace('T', ' ')} (${left < 0 ? 'ended' : `in ${plural(left, 'day')}`})`;
}
