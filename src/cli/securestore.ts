import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { givenHead } from '../audit/chain.ts';
import { readAuditLines } from '../audit/full-files.ts';
import { createNew } from '../audit/new-file.ts';
import { systemClock } from '../clock.ts';
import { LOG_LEVELS, readSecureStoreSettings } from '../config.ts';
import { InputError } from '../contract/errors.ts';
import { createLog } from '../log.ts';
import { liveValues } from '../secrets/live-values.ts';
import { backup as backupOf, restore as restoreInto } from '../securestore/backup.ts';
import { openKeyring, openStoreDatabase, serveSecureStore, verifyStoreAudit } from '../securestore/main.ts';
import { decide, PERMISSIONS, type Permission, readPolicy } from '../securestore/policy.ts';
import { rotateKeys } from '../securestore/rotate.ts';
import { storeId } from '../securestore/store.ts';
import { createStoreToken } from '../securestore/who.ts';
import { EXIT } from './exit.ts';
import { type Globals, print, printJson } from './present.ts';

const DAY_MS = 24 * 3_600_000;

const POLICY = `# Who may do what in this SecureStore. Read anew when it changes; nobody may what no rule permits.
# Roles: lister, writer, revealer, admin, auditor. Who administers may not reveal: that is a role of its own.
# issuers:
#   - { name: cluster, kind: kubernetes, issuer: "https://kubernetes.default.svc", audience: securestore }
# serviceAccounts: [lockgate/worker]
rules:
  - who: ["token:admin"]
    workspaces: ["*"]
    roles: [admin, writer, auditor]
  # What adds and lists credentials:
  - who: ["token:lockgate-api", "serviceaccount:lockgate/api"]
    workspaces: ["*"]
    roles: [writer, admin]
  # What crawls, and nobody else:
  - who: ["token:lockgate-worker", "serviceaccount:lockgate/worker"]
    workspaces: ["*"]
    roles: [lister, revealer]
`;

/** Serves until SIGTERM or SIGINT. */
export async function serve(): Promise<void> {
  const settings = readSecureStoreSettings();
  const log = createLog(LOG_LEVELS[3], (line) => liveValues.scrub(line));
  const listening = (address: string) =>
    print(`SecureStore serves ${address} (what it takes: ${address}/openapi.json)`);
  await serveSecureStore(settings, { clock: systemClock, log, listening }, untilStopped());
}

/** Makes the key, the policy and the first token, each where it is not there yet. */
export async function init(globals: Globals): Promise<void> {
  const settings = readSecureStoreSettings();
  const { keyFile, policyFile } = settings;
  const made: string[] = [];
  if (keyFile && (await createOnce(keyFile, `${randomBytes(32).toString('base64')}\n`, 0o400))) made.push(keyFile);
  if (await createOnce(policyFile, POLICY, 0o600)) made.push(policyFile);
  await using db = await openStoreDatabase(settings);
  const [known] = await db.query("select 1 from securestore.token where name = 'admin'");
  const expiresAt = new Date(Date.now() + 90 * DAY_MS);
  const first = known ? null : await createStoreToken(db, { name: 'admin', createdBy: 'init', expiresAt });
  if (globals.json) return printJson({ made, ...(first ? { token: first.token, expiresAt } : {}) });
  for (const path of made) print(`made ${path}`);
  if (keyFile) print(`Keep a copy of ${keyFile} apart from the database: without it no value can be opened.`);
  if (first) print(`The first token, "admin", which is shown this once and ends in 90 days:\n\n  ${first.token}\n`);
  else print('There is a token "admin" already.');
}

/** In a folder that is this user's own. False: it was there. */
async function createOnce(path: string, text: string, mode: number): Promise<boolean> {
  if (await stat(path).catch(() => null)) return false;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  return createNew(path, text, mode, true);
}

export async function createToken(globals: Globals, name: string, options: { expiresInDays: number }): Promise<void> {
  if (!/^[\w.-]{1,100}$/.test(name)) throw new InputError('invalid_input', 'This is no name of a token.');
  await using db = await openStoreDatabase(readSecureStoreSettings());
  const expiresAt = new Date(Date.now() + options.expiresInDays * DAY_MS);
  const { token } = await createStoreToken(db, { name, createdBy: 'command line', expiresAt });
  if (globals.json) return printJson({ token, expiresAt });
  print(`It is shown this once, and is "token:${name}" in the policy:\n\n  ${token}\n`);
}

export interface PolicyTest {
  readonly who: string;
  readonly group: readonly string[];
  readonly may: string;
  readonly on: string;
}

/** May X do Y on Z, and by which rule. */
export async function testPolicy(globals: Globals, { who, group, may, on }: PolicyTest): Promise<void> {
  const { policyFile } = readSecureStoreSettings();
  if (!(PERMISSIONS as readonly string[]).includes(may))
    throw new InputError('invalid_input', `--may is one of ${PERMISSIONS.join(', ')}.`);
  const [, workspace = '', secretId] = /^workspaces\/([^/]+)(?:\/secrets\/([^/]+))?$/.exec(on) ?? [];
  if (workspace === '') throw new InputError('invalid_input', '--on is such as workspaces/default/secrets/my-creds');
  const policy = await readPolicy(policyFile);
  const where = { workspace, secretId: secretId ?? null };
  const { allowed, rule } = decide(policy, { id: who, groups: group }, may as Permission, where);
  if (!allowed) process.exitCode = EXIT.failed;
  if (globals.json) return printJson({ allowed, rule });
  if (allowed) print(`${who} may ${may} on ${on}, by rule ${rule} of ${policyFile}.`);
  else print(`${who} may not ${may} on ${on}: no rule of ${policyFile} permits it.`);
}

/** Wraps all keys by the active one; it may be stopped and begun again. */
export async function rotate(globals: Globals, { all = false }: { all?: boolean }): Promise<void> {
  const settings = readSecureStoreSettings();
  await using db = await openStoreDatabase(settings);
  const keys = await openKeyring(db, settings);
  const wrapped = await rotateKeys(db, await storeId(db), keys, untilStopped(), all);
  if (globals.json) return printJson({ wrapped, key: keys.active.id });
  print(`${wrapped} keys are wrapped by ${keys.active.id} now. Older keys are no longer needed, but for backups.`);
}

/** To standard output. Values stay sealed. */
export async function backup(): Promise<void> {
  await using db = await openStoreDatabase(readSecureStoreSettings());
  await printLines(backupOf(db));
}

export async function restore(globals: Globals, file: string): Promise<void> {
  await using db = await openStoreDatabase(readSecureStoreSettings());
  const input = createReadStream(file);
  await once(input, 'open').catch(() => {
    throw new InputError('unreadable_file', `The file ${file} cannot be read.`);
  });
  const rows = await restoreInto(db, input);
  if (globals.json) return printJson({ rows });
  print(`${rows} rows are restored. They open with the key that the store had when the backup was made.`);
}

export async function verifyAudit(globals: Globals, { behind }: { behind?: string }): Promise<void> {
  const start = behind === undefined ? undefined : givenHead(behind);
  const { ok, lines, signedHeads, head, torn, problems } = await verifyStoreAudit(readSecureStoreSettings(), start);
  if (!ok) process.exitCode = EXIT.failed;
  if (globals.json) return printJson({ ok, lines, torn, head, signedHeads, problems });
  for (const { message } of problems) print(message);
  print(ok ? `The log is whole: ${lines} lines, ${signedHeads} signed heads.` : 'The log is NOT as it was written.');
}

/** JSON lines to standard output, as they stand. */
export async function exportAudit(): Promise<void> {
  await printLines(readAuditLines(readSecureStoreSettings().audit.file));
}

/** Aborts at SIGTERM and SIGINT. */
function untilStopped(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** As fast as whoever reads them takes them. */
async function printLines(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) {
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
  }
}
