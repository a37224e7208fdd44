import { readFile } from 'node:fs/promises';
import { credentialSchema, describeCredential, loadConnector } from '../../connectors/index.ts';
import { listSources } from '../collections/sources.ts';
import type { ConnectorType } from '../contract/connector.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import type { App } from '../main.ts';
import { type Globals, plural, print, printFacts, printJson, printTable } from './present.ts';
import { withApp } from './session.ts';

const MAX_INPUT_BYTES = 256 * 1024;

export function put(globals: Globals, id: string, options: { type: ConnectorType; file?: string }): Promise<void> {
  return withApp(async (app) => {
    const credential = parseJson(await readCredential(options.file));
    const connector = await loadConnector(options.type);
    credential.map(connector.parseCredential);
    const info = await app.secrets().put(id, options.type, credential);
    if (globals.json) return printJson(info);
    print(`Stored ${id}, version ${info.versions?.[0]?.version}, for connector type ${options.type}.`);
  });
}

/** What a credential of a type is made of; with `--json`, its JSON Schema. */
export async function schema(globals: Globals, options: { type: ConnectorType }): Promise<void> {
  if (globals.json) return printJson(await credentialSchema(options.type));
  for (const { name, secret, values, description } of await describeCredential(options.type)) {
    const meaning = [values?.join(' | '), description].filter(Boolean).join('. ');
    print(`${name}${secret ? ' (secret)' : ''}${meaning ? `: ${meaning}` : ''}`);
  }
}

export function list(globals: Globals, options: { type?: ConnectorType }): Promise<void> {
  return withApp(async (app) => {
    const filter = options.type ? { connectorType: options.type } : undefined;
    const items = await Array.fromAsync(app.secrets().list(filter));
    if (globals.json) return printJson({ items });
    printTable(
      ['id', 'type', 'versions', 'latest since'],
      items.map((each) => [each.id, each.connectorType, each.versions?.length, date(each.versions?.[0]?.createdAt)]),
      'There is no credential yet. Add one: lockgate secrets put my-creds --type s3 < credential.json',
    );
  });
}

export function describe(globals: Globals, id: string): Promise<void> {
  return withApp(async (app) => {
    const info = await app.secrets().describe(id);
    const sources = await usersOf(app, id);
    if (globals.json) return printJson({ ...info, sources });
    printFacts([
      ['id', info.id],
      ['type', info.connectorType],
      ['versions', info.versions?.map(({ version }) => version).join(', ')],
      ['latest since', date(info.versions?.[0]?.createdAt)],
      ['used by', sources.map((source) => `${source.collection}: ${source.path}`).join('; ')],
    ]);
  });
}

export function remove(globals: Globals, id: string, options: { force?: boolean }): Promise<void> {
  return withApp(async (app) => {
    const sources = await usersOf(app, id);
    if (sources.length > 0 && !options.force) {
      throw new LockgateError(
        'credential_in_use',
        `"${id}" is used by ${plural(sources.length, 'source')}: ${sources.map((source) => source.path).join(', ')}.`,
        'Remove the sources first, or add --force to remove it all the same; they fail from then on.',
      );
    }
    await app.secrets().remove(id);
    if (globals.json) return printJson({ removed: id });
    print(`Removed ${id} with all its versions.`);
  });
}

async function usersOf(app: App, id: string) {
  const db = await app.database();
  return (await listSources(db, app.config.workspace))
    .filter((source) => source.credentialId === id)
    .map(({ id: sourceId, collection, path }) => ({ id: sourceId, collection, path }));
}

async function readCredential(file: string | undefined): Promise<Secret<string>> {
  if (file !== undefined) {
    return new Secret(
      await readFile(file, 'utf8').catch((error: { code?: string }) => {
        throw new InputError('unreadable_file', `The file cannot be read (${error.code ?? 'unknown'}).`);
      }),
    );
  }
  if (process.stdin.isTTY) {
    throw new InputError(
      'no_credential',
      'The credential comes from standard input, so that it is in no argument and no history.',
      'lockgate secrets put <id> --type <type> < credential.json',
    );
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    size += chunk.length;
    if (size > MAX_INPUT_BYTES)
      throw new InputError('credential_too_large', 'Standard input is too long for a credential.');
    chunks.push(chunk);
  }
  return new Secret(Buffer.concat(chunks).toString('utf8'));
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
