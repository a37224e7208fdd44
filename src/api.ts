import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { openBrowserSignIn } from './access/browser-sign-in.ts';
import { openOidc } from './access/oidc.ts';
import { bootstrapToken } from './access/tokens.ts';
import { auditHead, fileAuditLog } from './audit/file-log.ts';
import { systemClock } from './clock.ts';
import { ChangeWatch } from './collections/change-watch.ts';
import { findManager } from './collections/managers.ts';
import type { SourceRecord } from './collections/sources.ts';
import { aboutOf, type Config } from './config.ts';
import type { Answer } from './contract/api/index.ts';
import type { CheckReport } from './contract/connector.ts';
import type { ContentStore } from './contract/content-store.ts';
import type { Database } from './contract/database.ts';
import { describeError } from './contract/errors.ts';
import { inTime } from './contract/in-time.ts';
import { openDirectories } from './directories.ts';
import { authenticator } from './http/authenticate.ts';
import { openHttp } from './http/server.ts';
import { askedDirectory } from './jobs/asked-directory.ts';
import type { CrawlQueue } from './jobs/queue.ts';
import { notesOfManagers } from './layers/audited.ts';
import { createEgress } from './layers/egress.ts';
import type { Log } from './log.ts';
import { defaultOf, unknownManager } from './secrets/managers.ts';
import { openDirectory } from './secrets/open-directory.ts';
import { openOperations } from './service/operations.ts';

export interface ApiParts {
  readonly config: Config;
  readonly db: Database;
  readonly queue: CrawlQueue;
  readonly content: ContentStore;
  readonly log: Log;
  readonly scrub: (text: string) => string;
}

const CHECK_TIMEOUT_MS = 60_000;
const PLAN_TIMEOUT_MS = 30 * 60_000;
const READY_TIMEOUT_MS = 5000;

/**
 * The composition root of the API role. Nothing that it reaches can read the value of a secret: what needs one is asked of a
 * worker, through the queue.
 */
export async function openApi(parts: ApiParts): Promise<FastifyInstance> {
  const { config, db, queue, content, log, scrub } = parts;
  const audit = fileAuditLog(config.audit, systemClock.now);
  const changes = new ChangeWatch(db);
  const egress = createEgress(config.allowedEndpoints);
  const { directory } = openDirectories({
    declared: config.secretManagers,
    audit,
    now: systemClock.now,
    // What opens it is a secret, which this process cannot read.
    registered: async (manager, workspace, actor) => {
      if (!(await findManager(db, workspace, manager))) throw unknownManager(manager);
      return askedDirectory(queue, { manager, workspace, actor });
    },
  });
  const perform = openOperations({
    db,
    queue: async () => queue,
    changes,
    declared: config.secretManagers,
    audit: config.audit,
    directory,
    check: async ({ id: sourceId, workspace }: SourceRecord, actor) =>
      (await queue.ask({ kind: 'check', sourceId, workspace, actor }, CHECK_TIMEOUT_MS)) as CheckReport,
    tryPlace: async (place, actor) => (await queue.ask({ kind: 'try', place, actor }, CHECK_TIMEOUT_MS)) as CheckReport,
    preview: async (place, actor) =>
      (await queue.ask({ kind: 'preview', place, actor }, CHECK_TIMEOUT_MS)) as Answer<'sources.preview'>,
    noteManager: notesOfManagers(audit),
    oidcRules: config.http.oidc?.rules ?? [],
    about: aboutOf(config),
    plan: async (planId) => void (await queue.ask({ kind: 'plan', planId }, PLAN_TIMEOUT_MS)),
    assertWebhook: (url) => egress.assertEndpoint(url, 'public'),
  });
  const { http } = config;
  return openHttp({
    db,
    content,
    changes,
    perform,
    authenticate: authenticator({
      db,
      oidc: http.oidc ? openOidc(http.oidc) : null,
      defaultWorkspace: config.workspace,
    }),
    browserSignIn: http.oidc && http.browserSignIn ? openBrowserSignIn(http.oidc, http.browserSignIn) : null,
    ready: () => readiness(parts),
    log,
    scrub,
    tls: http.tls ? { cert: await readFile(http.tls.certFile), key: await readFile(http.tls.keyFile) } : null,
    trustedProxies: http.trustedProxies,
    requestsPerMinute: http.requestsPerMinute,
    openMetrics: http.openMetrics,
    auditEvents: async () => (await auditHead(config.audit)).seq,
  });
}

/** Says the first token of a deployment, once. */
export async function sayBootstrapToken(db: Database, say: (line: string) => void): Promise<void> {
  const token = await bootstrapToken(db);
  if (!token) return;
  say('The first token of this deployment, for its administrator. It is shown this once:');
  say(token);
}

async function readiness({ config, db, content }: ApiParts) {
  const examine = async (name: string, work: () => Promise<unknown>) => {
    try {
      await inTime(work(), READY_TIMEOUT_MS);
      return { name, ok: true };
    } catch (error) {
      return { name, ok: false, detail: describeError(error).message };
    }
  };
  return Promise.all([
    examine('database', () => db.query('select 1')),
    examine('secret manager', async () => {
      const manager = config.secretManagers.byName.get(defaultOf(config.secretManagers));
      // Not through the audit log: nothing is shown of what is listed.
      if (manager) for await (const _ of openDirectory(manager.settings, config.workspace, Date.now).list()) break;
    }),
    examine('content store', () => content.sweep()),
  ]);
}
