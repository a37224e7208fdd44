import { fileAuditLog } from './audit/file-log.ts';
import { systemClock } from './clock.ts';
import { openPackIndex } from './collections/pack-index.ts';
import type { Config } from './config.ts';
import { openContent } from './content/open.ts';
import type { ContentStore } from './contract/content-store.ts';
import type { AuditLog } from './contract/secret-manager.ts';
import { openDatabase } from './db/open.ts';
import type { OpenDatabase } from './db/pool.ts';
import { type CrawlQueue, openQueue } from './jobs/queue.ts';
import { createLog, type Log } from './log.ts';
import { liveValues } from './secrets/live-values.ts';

/** What every role stands on. Parts that cost something are opened when they are first asked for. Holds no secret of a source. */
export interface Foundation extends AsyncDisposable {
  readonly config: Config;
  readonly log: Log;
  readonly audit: AuditLog;
  database(): Promise<OpenDatabase>;
  queue(): Promise<CrawlQueue>;
  content(): Promise<ContentStore>;
}

export function openFoundation(config: Config, defaultLogLevel: NonNullable<Config['logLevel']>): Foundation {
  const log = createLog(config.logLevel ?? defaultLogLevel, (text) => liveValues.scrub(text));
  const audit = fileAuditLog(config.audit, systemClock.now);
  const closing: (() => PromiseLike<void>)[] = [];
  const begun = new Set<Promise<unknown>>();
  const once = <T>(open: () => Promise<T>): (() => Promise<T>) => {
    let opened: Promise<T> | undefined;
    return () => {
      opened ??= open();
      begun.add(opened);
      return opened;
    };
  };
  const kept = async <T extends AsyncDisposable>(opening: Promise<T>): Promise<T> => {
    const resource = await opening;
    closing.unshift(() => resource[Symbol.asyncDispose]());
    return resource;
  };
  if (config.tracing) {
    const started = import('./tracing.ts').then(({ startTracing }) => startTracing());
    closing.push(async () => (await started)().catch(() => undefined));
  }
  let content: Promise<ContentStore> | null = null;
  const database = once(async () => {
    // Only where the environment names such a secret is anything loaded that can read one.
    const login = config.databaseSecret ? (await import('./database-login.ts')).databaseLogin(config, audit) : null;
    return kept(openDatabase(config.database, login));
  });
  return {
    config,
    log,
    audit,
    database,
    queue: once(async () => kept(openQueue(await database(), (error) => log.error({ error }, 'queue')))),
    content: () => {
      content ??= openContent(config.content, config.dataDir, openPackIndex(database));
      return content;
    },
    [Symbol.asyncDispose]: async () => {
      // How it is left matters less than that everything is.
      await content?.then((store) => store.close?.()).catch(() => undefined);
      await Promise.allSettled(begun);
      for (const close of closing) await close();
    },
  };
}
