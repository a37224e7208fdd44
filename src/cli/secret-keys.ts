import { readFile, writeFile } from 'node:fs/promises';
import { InputError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import type { App } from '../main.ts';
import { exportSecrets, importSecrets } from '../secrets/bundle.ts';
import { linesOf, readRecipient } from '../secrets/file/keys.ts';
import { rekey as rekeyFiles } from '../secrets/file/rekey.ts';
import { readInput, readText } from './input.ts';
import { type Globals, plural, print, printJson } from './present.ts';
import { withApp } from './session.ts';

const MAX_BUNDLE_BYTES = 512 * 1024 * 1024;

/** The key pair of the `file` secret manager, before the first secret: so that the identity never is where secrets are added. */
export function makeKeys(globals: Globals, options: { manager?: string }): Promise<void> {
  return withApp(async (app) => {
    const { recipientFile, identityFile } = fileManagerOf(app, options.manager).settings;
    const recipient = await readRecipient({ recipientFile, identityFile });
    if (globals.json) return printJson({ recipient, recipientFile, identityFile });
    print(`Secrets are sealed to ${recipient}, which is in ${recipientFile}.`);
    print(`What opens them is ${identityFile}. Only workers need it; keep a copy where nobody else can read it.`);
  });
}

function fileManagerOf(app: App, given: string | undefined) {
  const name = given ?? app.defaultManager;
  const settings = app.config.secretManagers.byName.get(name)?.settings;
  if (settings?.backend === 'file') return { name, settings };
  throw new InputError(
    'not_a_file_manager',
    `"${name}" is no secret manager of the kind "file".`,
    'The others have keys of their own.',
  );
}

/** A new identity for the `file` secret manager, with everything sealed to it. */
export function rekey(globals: Globals, options: { manager?: string }): Promise<void> {
  return withApp(async (app) => {
    const { name, settings } = fileManagerOf(app, options.manager);
    const { resealed, resumed } = await app.noteManager('secret.rekey', name, () =>
      rekeyFiles(settings.folder, settings, (count) => {
        if (!globals.json && process.stderr.isTTY) process.stderr.write(`\r${count} sealed anew`);
      }),
    );
    if (globals.json) return printJson({ resealed, resumed });
    print(`${resumed ? 'Finished an earlier change: ' : ''}${plural(resealed, 'version')} sealed to a new identity.`);
    print(`Bring ${settings.identityFile} to every worker, and ${settings.recipientFile} to whoever adds secrets.`);
  });
}

/** Every secret with all its versions in one file that only the recipient can open. */
export function exportAll(
  globals: Globals,
  options: { recipient: string; output?: string; manager?: string },
): Promise<void> {
  return withApp(async (app) => {
    if (!options.output && process.stdout.isTTY)
      throw new InputError(
        'no_output',
        'The export is not for a terminal.',
        'Add --output secrets.age, or > secrets.age',
      );
    const from = { ...partsOf(app, options.manager), reader: app.stored };
    const purpose = { actor: app.actor, reason: 'export' };
    const { bytes, secrets, versions } = await exportSecrets(from, options.recipient, purpose);
    if (options.output) await writeFile(options.output, bytes, { mode: 0o600, flush: true });
    else await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()));
    if (!options.output) return;
    if (globals.json) return printJson({ secrets, versions });
    print(`${plural(secrets, 'secret')} with ${plural(versions, 'version')}, sealed to ${options.recipient}.`);
  });
}

export function importAll(
  globals: Globals,
  options: { identityFile: string; file?: string; manager?: string },
): Promise<void> {
  return withApp(async (app) => {
    const identity = new Secret(linesOf(await readText(options.identityFile))[0] ?? '');
    const bytes = options.file ? await readFile(options.file) : await readInput(MAX_BUNDLE_BYTES);
    const { imported, skipped } = await importSecrets(partsOf(app, options.manager).directory, bytes, identity);
    if (globals.json) return printJson({ imported, skipped });
    print(`${plural(imported.length, 'secret')} imported.`);
    if (skipped.length > 0) print(`There already, and left alone: ${skipped.join(', ')}`);
  });
}

function partsOf(app: App, manager: string = app.defaultManager) {
  return { directory: app.secrets(manager), manager, workspace: app.config.workspace };
}
