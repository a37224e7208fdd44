import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { listSources } from '../collections/sources.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import type { App } from '../main.ts';
import { permitsForeign } from '../secrets/managers.ts';
import { EXIT } from './exit.ts';
import { type Globals, plural, print, printJson } from './present.ts';
import { withApp } from './session.ts';

interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly hint?: string;
}

/** Checks each part of the set-up by using it, and says what to fix. */
export function doctor(globals: Globals): Promise<void> {
  return withApp(async (app) => {
    const findings: Finding[] = [];
    const examine = async (what: string, work: () => Promise<string>) => {
      try {
        findings.push({ what, ok: true, detail: await work() });
      } catch (error) {
        const { message, hint } = describeError(error);
        findings.push({ what, ok: false, detail: message, ...(hint ? { hint } : {}) });
      }
    };
    await examine('data folder', () => dataFolder(app));
    await examine('database', () => database(app));
    await examine('secret manager', () => secretManager(app));
    await examine('content store', () => contentStore(app));
    await examine('sources', () => sources(app));
    if (findings.some(({ ok }) => !ok)) process.exitCode = EXIT.failed;
    if (globals.json) return printJson({ ok: findings.every(({ ok }) => ok), findings });
    for (const { what, ok, detail, hint } of findings) {
      print(`${ok ? 'ok  ' : 'FAIL'}  ${what.padEnd(14)}  ${detail}${hint ? `\n${' '.repeat(22)}${hint}` : ''}`);
    }
  });
}

async function dataFolder({ config }: App): Promise<string> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o711 });
  await access(config.dataDir, constants.W_OK).catch(() => {
    throw new LockgateError(
      'data_dir',
      `${config.dataDir} cannot be written.`,
      'Set LOCKGATE_DATA_DIR to a folder of this user.',
    );
  });
  return config.dataDir;
}

async function database(app: App): Promise<string> {
  const [row] = await (await app.database()).query<{ version: string }>(
    "select current_setting('server_version') as version",
  );
  return `PostgreSQL ${row?.version}, ${app.config.database.kind === 'url' ? 'from DATABASE_URL' : 'embedded'}`;
}

async function secretManager(app: App): Promise<string> {
  const count = (await Array.fromAsync(app.secrets().list())).length;
  const settings = app.config.secretManagers.byName.get(app.defaultManager)?.settings;
  if (settings?.backend === 'file' && count > 0) {
    const { readIdentities } = await import('../secrets/file/keys.ts');
    await readIdentities(settings);
  }
  return `${settings?.backend}, ${plural(count, 'credential')}`;
}

async function contentStore(app: App): Promise<string> {
  const store = await app.content();
  const staged = await store.stage(
    (async function* () {
      yield Buffer.from('doctor');
    })(),
    new AbortController().signal,
  );
  await store.discard([staged]);
  const { content } = app.config;
  return content.kind === 'directory' ? content.folder : `${content.kind}: ${content.bucket}/${content.prefix}`;
}

async function sources(app: App): Promise<string> {
  const all = await listSources(await app.database(), app.config.workspace);
  const { byName } = app.config.secretManagers;
  for (const { credentialId, credentialManager } of all) {
    const manager = byName.get(credentialManager) ?? byName.get(app.defaultManager);
    // What another tool made has no description; whether it can be read, only a check of the source tells.
    if (manager && permitsForeign(manager, credentialId)) continue;
    await app.secrets(credentialManager).describe(credentialId);
  }
  return `${plural(all.length, 'source')}, each with its credential`;
}
