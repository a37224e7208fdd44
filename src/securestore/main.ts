import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Head } from '../audit/chain.ts';
import { auditHead, fileAuditLog, verifyAuditLog } from '../audit/file-log.ts';
import { readAuditLines } from '../audit/full-files.ts';
import type { Clock } from '../contract/connector.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { every } from '../contract/every.ts';
import type { Schema } from '../db/migrate.ts';
import { openDatabase } from '../db/open.ts';
import type { OpenDatabase } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { headsFile, notedHeads, noteHead, signHead, signingKey } from './heads.ts';
import { Keyring } from './keyring.ts';
import { Operations, type StoreEvent } from './operations.ts';
import { PolicyFile } from './policy.ts';
import { openServer, type ServerParts } from './server.ts';
import type { SecureStoreSettings } from './settings.ts';
import { purge, storeId } from './store.ts';
import { createStoreToken, Doorkeeper, listStoreTokens, revokeStoreToken } from './who.ts';

const SCHEMA: Schema = {
  name: 'securestore',
  folder: new URL('./securestore-migrations/', import.meta.url),
  lock: 7_246_002,
};
const LOOK_MS = 2000;
const PURGE_MS = 600_000;

export function openStoreDatabase({ databaseUrl, dataDir }: SecureStoreSettings): Promise<OpenDatabase> {
  const target = databaseUrl
    ? ({ kind: 'url', url: databaseUrl } as const)
    : ({ kind: 'embedded', folder: join(dataDir, 'postgres') } as const);
  return openDatabase(target, null, SCHEMA);
}

/** What the audit log says of itself. */
export interface StoreVerification {
  readonly ok: boolean;
  readonly lines: number;
  readonly torn: number;
  readonly head: string;
  readonly signedHeads: number;
  readonly problems: readonly { readonly line: number | null; readonly kind: string; readonly message: string }[];
}

/** Checks every line, that nothing was cut off since any head was signed, and the signatures. `behind`: the last line of what was taken away. */
export async function verifyStoreAudit(
  { audit, signingKeyFile }: SecureStoreSettings,
  behind?: Head,
): Promise<StoreVerification> {
  const { heads, forged } = await notedHeads(audit.file, await signingKey(signingKeyFile));
  const { lines, torn, head, problems } = await verifyAuditLog(audit, heads, behind);
  const all = [...problems].map(({ line, kind, message }) => ({ line, kind: kind as string, message }));
  if (forged > 0) {
    const message = `${forged} lines of ${headsFile(audit.file)} were not signed by this store.`;
    all.push({ line: null, kind: 'forged', message });
  }
  return {
    ok: all.length === 0,
    lines,
    torn,
    head: `${head.seq}:${head.mac}`,
    signedHeads: heads.length,
    problems: all,
  };
}

/** Serves until `signal` aborts. Starts sealed, and looks for its key until it has it. */
export async function serveSecureStore(
  settings: SecureStoreSettings,
  {
    clock,
    log,
    listening,
  }: { readonly clock: Clock; readonly log: Log; readonly listening: (address: string) => void },
  signal: AbortSignal,
): Promise<void> {
  await using db = await openStoreDatabase(settings);
  const policy = await PolicyFile.open(settings.policyFile, ({ error }) => {
    if (error === undefined) log.info('the policy was read anew');
    else log.error({ error: describeError(error) }, 'the policy cannot be used, and stays as it was');
  });
  const { append } = fileAuditLog<StoreEvent>(settings.audit, clock.now);
  const keys = new Keyring(db, settings.keys);
  const operations = new Operations({
    db,
    storeId: await storeId(db),
    keys,
    policy: () => policy.current,
    audit: append,
    graceSeconds: settings.graceSeconds,
  });
  const app = openServer(await serverParts({ settings, db, policy, keys, operations, append, log }));
  const signer = await signingKey(settings.signingKeyFile);
  const duties = [
    every(clock, LOOK_MS, signal, async () => {
      await policy.reload();
      if (keys.isSealed && (await keys.unseal())) log.info('unsealed');
    }),
    every(clock, settings.headsEverySeconds * 1000, signal, () => signTheHead(settings, signer, clock.now(), log)),
    every(clock, PURGE_MS, signal, async () => void (await purge(db))),
  ];
  if (!(await keys.unseal())) log.warn({ why: keys.reason }, 'sealed');
  listening(await app.listen({ host: settings.host, port: settings.port }));
  if (!signal.aborted) await once(signal, 'abort');
  await app.close();
  await Promise.all(duties);
  await signTheHead(settings, signer, clock.now(), log);
}

interface Built {
  readonly settings: SecureStoreSettings;
  readonly db: OpenDatabase;
  readonly policy: PolicyFile;
  readonly keys: Keyring;
  readonly operations: Operations;
  readonly append: (event: StoreEvent) => Promise<void>;
  readonly log: Log;
}

async function serverParts({ settings, db, policy, keys, operations, append, log }: Built): Promise<ServerParts> {
  const { tls } = settings;
  return {
    operations,
    door: new Doorkeeper(db, () => policy.current),
    sealed: () => (keys.isSealed ? keys.reason : null),
    isAlive: () =>
      db.query('select 1').then(
        () => true,
        () => false,
      ),
    tls: tls && {
      cert: await readFile(tls.certFile, 'utf8'),
      key: await readFile(tls.keyFile, 'utf8'),
      clientCa: tls.clientCaFile ? await readFile(tls.clientCaFile, 'utf8') : null,
    },
    failuresPerMinute: settings.failuresPerMinute,
    denied: (remote, requestId) =>
      append({ action: 'securestore.enter', actor: 'unknown', remote, requestId, outcome: 'denied' }),
    tokens: {
      list: () => listStoreTokens(db),
      create: (wish) => createStoreToken(db, wish),
      revoke: (id) => revokeStoreToken(db, id),
    },
    audit: {
      read: (after, limit) => linesAfter(settings.audit.file, after, limit),
      verify: () => verifyStoreAudit(settings),
    },
    log: (line) => log.info(line, 'request'),
  };
}

/** Signed, beside the log, and in the program's own log, which most ship elsewhere. */
async function signTheHead({ audit }: SecureStoreSettings, key: KeyObject, now: number, log: Log): Promise<void> {
  const head = await auditHead(audit);
  if (head.seq === 0) return;
  const signed = signHead(head, new Date(now).toISOString(), key);
  await noteHead(audit.file, signed);
  log.info({ head: signed }, 'head of the audit log');
}

async function linesAfter(file: string, after: number, limit: number): Promise<string[]> {
  const found: string[] = [];
  for await (const line of readAuditLines(file)) {
    const seq = Number(/^\{"seq":(\d+)/.exec(line)?.[1] ?? 0);
    if (seq > after) found.push(line);
    if (found.length === limit) break;
  }
  return found;
}

/** A keyring that is open, or an error that says why it is not. */
export async function openKeyring(db: OpenDatabase, settings: SecureStoreSettings): Promise<Keyring> {
  const keys = new Keyring(db, settings.keys);
  if (await keys.unseal()) return keys;
  throw new LockgateError('store_sealed', 'SecureStore is sealed.', keys.reason);
}
