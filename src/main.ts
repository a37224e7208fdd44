import { hostname, userInfo } from 'node:os';
import { fileAuditLog } from './audit/file-log.ts';
import { systemClock } from './clock.ts';
import { findManager } from './collections/managers.ts';
import { noteSecretWait } from './collections/runs.ts';
import type { Config } from './config.ts';
import { openDirectoryStore } from './content/directory.ts';
import type { Egress } from './contract/connector.ts';
import type { ContentStore } from './contract/content-store.ts';
import type { AuditEvent, AuditLog, SecretDirectory, SecretReader } from './contract/secret-manager.ts';
import { type Credentials, databaseLogin, openCredentials } from './credentials.ts';
import { openDatabase } from './db/open.ts';
import type { OpenDatabase } from './db/pool.ts';
import { type CrawlParts, crawl } from './jobs/crawl.ts';
import { Limits, type SourceParts } from './jobs/open-source.ts';
import { type CrawlQueue, openQueue } from './jobs/queue.ts';
import { noted } from './layers/audited.ts';
import { createEgress } from './layers/egress.ts';
import { createLog, type Log } from './log.ts';
import { liveValues } from './secrets/live-values.ts';
import { DEFAULT_NAME } from './secrets/managers.ts';

/** What this process uses of the deployment. Parts that cost something are opened when they are first asked for. */
export interface App extends AsyncDisposable {
  readonly config: Config;
  readonly log: Log;
  /** The name of the secret manager that is meant where none is named. */
  readonly defaultManager: string;
  secrets(manager?: string): SecretDirectory;
  /** Reads values as they are stored: audited. */
  readonly stored: SecretReader;
  readonly audit: AuditLog;
  /** Who the audit log names for what this process does. */
  readonly actor: string;
  /** The names under which sources may know a secret manager, its own the first. */
  namesOf(manager: string): string[];
  /** Does something with a secret manager that is written down first. */
  noteManager<T>(action: AuditEvent['action'], manager: string, work: () => Promise<T>): Promise<T>;
  database(): Promise<OpenDatabase>;
  queue(): Promise<CrawlQueue>;
  content(): Promise<ContentStore>;
  /** Executes one run in this process. */
  crawl(runId: string, signal: AbortSignal): Promise<void>;
  /** What opens a source in this process: holds the reader. */
  sourceParts(workspace: string): SourceParts;
}

/** Chooses the implementations that the configuration asks for. */
export function openApp(config: Config, defaultLogLevel: NonNullable<Config['logLevel']> = 'silent'): App {
  const log = createLog(config.logLevel ?? defaultLogLevel, (text) => liveValues.scrub(text));
  const audit = fileAuditLog(config.audit, systemClock.now);
  const runtime = {
    clock: systemClock,
    egress: createEgress(config.allowedEndpoints),
    ambient: config.ambientCredentials,
  };
  const closing: (() => PromiseLike<void>)[] = [];
  const once = <T>(open: () => Promise<T>): (() => Promise<T>) => {
    let opened: Promise<T> | undefined;
    return () => {
      opened ??= open();
      return opened;
    };
  };
  const kept = async <T extends AsyncDisposable>(opening: Promise<T>): Promise<T> => {
    const resource = await opening;
    closing.unshift(() => resource[Symbol.asyncDispose]());
    return resource;
  };
  const database = once(() => kept(openDatabase(config.database, databaseLogin(config, audit))));
  const queue = once(async () =>
    kept(openQueue(await database(), (error) => log.error({ error: String(error) }, 'queue'))),
  );
  const content = once(() => openDirectoryStore(config.contentDir));
  const limits = new Limits(systemClock);
  const worker = `${hostname()}:${process.pid}`;
  const credentials = credentialsFor(config, { audit, database, log, egress: runtime.egress });
  const actor = `cli ${userInfo().username}`;
  const defaultManager = config.secretManagers.default ?? DEFAULT_NAME;
  const sourceParts = (workspace: string): SourceParts => ({
    reader: credentials.reader,
    directory: (manager) => credentials.directory(manager, workspace, `worker ${worker}`),
    runtime,
    limits,
  });
  return {
    config,
    log,
    defaultManager,
    secrets: (manager = defaultManager) => credentials.directory(manager, config.workspace, actor),
    actor,
    namesOf: (manager) =>
      manager === defaultManager && manager !== DEFAULT_NAME ? [manager, DEFAULT_NAME] : [manager],
    noteManager: (action, manager, work) =>
      noted(audit, { action, actor, secret: { manager, workspace: config.workspace, secretId: '*' } }, work),
    stored: credentials.stored,
    audit,
    database,
    queue,
    content,
    sourceParts,
    crawl: async (runId, signal) => {
      const parts: CrawlParts = {
        db: await database(),
        content: await content(),
        sourceParts,
        clock: systemClock,
        log,
        worker,
      };
      await crawl(parts, runId, signal);
    },
    [Symbol.asyncDispose]: async () => {
      for (const close of closing) await close();
    },
  };
}

/** The secret managers of the deployment, and those that its database has registered. */
function credentialsFor(
  config: Config,
  parts: { audit: AuditLog; database: () => Promise<OpenDatabase>; log: Log; egress: Egress },
): Credentials {
  const { audit, database, log, egress } = parts;
  return openCredentials({
    declared: config.secretManagers,
    audit,
    clock: systemClock,
    egress,
    registered: async (name, workspace) => (await findManager(await database(), workspace, name))?.settings ?? null,
    onWait: ({ runId, sourceId }, { code }) => {
      log.warn({ runId, sourceId, code }, 'the secret manager is asked again');
      if (!runId) return;
      // How the run goes on matters more than that this was counted.
      void database()
        .then((db) => noteSecretWait(db, runId))
        .catch(() => undefined);
    },
  });
}
