import { hostname, userInfo } from 'node:os';
import { fileAuditLog } from './audit/file-log.ts';
import { systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { openDirectoryStore } from './content/directory.ts';
import type { ContentStore } from './contract/content-store.ts';
import type { SecretDirectory } from './contract/secret-manager.ts';
import { openDatabase } from './db/open.ts';
import type { OpenDatabase } from './db/pool.ts';
import { type CrawlParts, crawl } from './jobs/crawl.ts';
import { Limits, type SourceParts } from './jobs/open-source.ts';
import { type CrawlQueue, openQueue } from './jobs/queue.ts';
import { withAudit, withDirectoryAudit } from './layers/audited.ts';
import { createEgress } from './layers/egress.ts';
import { withPatience } from './layers/patient.ts';
import { createLog, type Log } from './log.ts';
import { openDirectory } from './secrets/open-directory.ts';
import { openReader } from './secrets/open-reader.ts';

/** What this process uses of the deployment. Parts that cost something are opened when they are first asked for. */
export interface App extends AsyncDisposable {
  readonly config: Config;
  readonly log: Log;
  secrets(): SecretDirectory;
  database(): Promise<OpenDatabase>;
  queue(): Promise<CrawlQueue>;
  content(): Promise<ContentStore>;
  /** Executes one run in this process. */
  crawl(runId: string, signal: AbortSignal): Promise<void>;
  /** What opens a source in this process: holds the reader. */
  sourceParts(workspace: string): SourceParts;
}

/** The name by which references name the deployment's one secret manager. */
export const DEFAULT_MANAGER = 'default';

/** Chooses the implementations that the configuration asks for. */
export function openApp(config: Config, defaultLogLevel: NonNullable<Config['logLevel']> = 'silent'): App {
  const log = createLog(config.logLevel ?? defaultLogLevel);
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
  const database = once(() => kept(openDatabase(config.database)));
  const queue = once(async () =>
    kept(openQueue(await database(), (error) => log.error({ error: String(error) }, 'queue'))),
  );
  const content = once(() => openDirectoryStore(config.contentDir));
  const limits = new Limits(systemClock);
  const sourceParts = (workspace: string): SourceParts => ({
    reader: withAudit(withPatience(openReader(config.secretManager), systemClock), audit),
    directory: openDirectory(config.secretManager, workspace, systemClock.now),
    runtime,
    limits,
  });
  const worker = `${hostname()}:${process.pid}`;
  return {
    config,
    log,
    secrets: () =>
      withDirectoryAudit(openDirectory(config.secretManager, config.workspace, systemClock.now), audit, {
        manager: DEFAULT_MANAGER,
        workspace: config.workspace,
        actor: `cli ${userInfo().username}`,
      }),
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
