import { describeCredential } from '../../connectors/index.ts';
import { listManagers } from '../collections/managers.ts';
import { inheritedEnvironment } from '../config.ts';
import { CONNECTOR_TYPES, type ConnectorType } from '../contract/connector.ts';
import { describeError } from '../contract/errors.ts';
import type { SecretType } from '../contract/secret-manager.ts';
import { Needles } from '../leakcheck/needles.ts';
import { files, names, type Place, tables } from '../leakcheck/places.ts';
import { addCredential, type SecretFields, searchPlaces } from '../leakcheck/search.ts';
import type { App } from '../main.ts';
import { EXIT } from './exit.ts';
import { type Globals, plural, print, printJson, printTable, bytes as size } from './present.ts';
import { withApp } from './session.ts';

/** Looks for every value that this process may read in everything that Lockgate keeps, and in the files that are named. */
export function leakcheck(globals: Globals, paths: readonly string[]): Promise<void> {
  const environment = inheritedEnvironment();
  return withApp(async (app) => {
    const needles = new Needles();
    const { secrets, versions, values, unread } = await gather(app, needles);
    const { places, bytes, leaks } = await searchPlaces(needles, everywhere(app, environment, paths));
    if (leaks.length > 0) process.exitCode = EXIT.failed;
    if (globals.json) return printJson({ secrets, versions, values, unread, places, bytes, leaks });
    printTable(
      ['where', 'at', 'secret', 'version', 'field', 'as'],
      leaks.map(({ place, at, secretId, version, field, form }) => [place, at, secretId, version, field, form]),
      `Nothing found: ${plural(values, 'value')} of ${plural(secrets, 'secret')} (${plural(versions, 'version')}) in ${plural(places, 'place')}, ${size(bytes)}.`,
    );
    for (const { id, message } of unread) print(`not read, so not searched for: ${id}: ${message}`);
    if (leaks.length > 0)
      print(
        `\n${plural(leaks.length, 'leak')}. Replace these credentials, then look at how they came there: lockgate audit blast <secret>`,
      );
  });
}

async function gather(app: App, needles: Needles) {
  const db = await app.database();
  const fieldsOf = new Map<SecretType, SecretFields>();
  for (const type of CONNECTOR_TYPES) fieldsOf.set(type, await secretFieldsOf(type));
  const found = { secrets: 0, versions: 0, values: 0, unread: [] as { id: string; message: string }[] };
  const note = (values: number) => {
    found.values += values;
    return values;
  };
  const managers = [app.defaultManager, ...app.config.secretManagers.byName.keys()];
  for (const { name } of await listManagers(db, app.config.workspace)) managers.push(name);
  for (const manager of new Set(managers)) {
    const directory = app.secrets(manager);
    for await (const { id, connectorType } of directory.list()) {
      found.secrets++;
      const { versions } = await directory.describe(id);
      for (const { version } of versions ?? []) {
        const ref = { manager, workspace: app.config.workspace, secretId: id, version };
        try {
          const { value } = await app.stored.access(ref, { actor: app.actor, reason: 'leakcheck' });
          const fields = fieldsOf.get(connectorType) ?? null;
          const label = { secretId: id, version };
          value.map((credential) => note(addCredential(needles, credential, fields, label)));
          found.versions++;
        } catch (error) {
          found.unread.push({ id: `${id} version ${version}`, message: describeError(error).message });
        }
      }
    }
  }
  return found;
}

async function secretFieldsOf(type: ConnectorType): Promise<SecretFields> {
  return new Set((await describeCredential(type)).filter(({ secret }) => secret).map(({ name }) => name));
}

async function* everywhere(
  app: App,
  environment: Readonly<Record<string, string>>,
  paths: readonly string[],
): AsyncIterable<Place> {
  const { config } = app;
  yield* tables(await app.database());
  yield* names('names in the content store', hashes(app));
  // The database's own files are read as tables; bodies of documents are not ours to search.
  const folder = config.content.kind === 'directory' ? [config.content.folder] : [];
  const leftOut = [...folder, ...(config.database.kind === 'embedded' ? [config.database.folder] : [])];
  yield* files(config.dataDir, leftOut);
  yield* names('the environment', variables(environment));
  for (const path of paths) yield* files(path);
}

async function* hashes(app: App): AsyncIterable<string> {
  for await (const { sha256 } of (await app.content()).list()) yield sha256;
}

async function* variables(environment: Readonly<Record<string, string>>): AsyncIterable<string> {
  for (const [name, value] of Object.entries(environment)) yield `${name}=${value}`;
}
