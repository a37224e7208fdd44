import { hostname, userInfo } from 'node:os';
import { systemClock } from './clock.ts';
import { ChangeWatch } from './collections/change-watch.ts';
import { findManager } from './collections/managers.ts';
import { noteSecretWait, requestRun } from './collections/runs.ts';
import type { Place, SourceRecord } from './collections/sources.ts';
import { aboutOf } from './config.ts';
import type { ConnectorType, Egress } from './contract/connector.ts';
import type { AuditEvent, SecretDirectory, SecretReader } from './contract/secret-manager.ts';
import { type Credentials, openCredentials } from './credentials.ts';
import type { Foundation } from './foundation.ts';
import { type CrawlEnd, type CrawlParts, crawl } from './jobs/crawl.ts';
import { joinCrew } from './jobs/crew.ts';
import { help } from './jobs/help.ts';
import { Limits, prepareSource, type SourceParts } from './jobs/open-source.ts';
import { makePlan } from './jobs/plan-run.ts';
import { preview } from './jobs/preview.ts';
import { type Task, takes } from './jobs/queue.ts';
import { checkSource, doTask } from './jobs/tasks.ts';
import { deliver } from './jobs/webhooks.ts';
import { notesOfManagers } from './layers/audited.ts';
import { createEgress } from './layers/egress.ts';
import { DEFAULT_NAME, namesOf } from './secrets/managers.ts';
import { prepareReader } from './secrets/open-reader.ts';
import { openOperations, type Perform } from './service/operations.ts';
import { HandThreads } from './threads/hands.ts';
import { VERSION } from './version.ts';

/** What a process with all rights uses of the deployment: the command line, and workers. */
export interface App extends Foundation {
  /** Who the audit log names for what this process does. */
  readonly actor: string;
  /** The operations of the service, done in this process. */
  perform(): Promise<Perform>;
  /** The name of the secret manager that is meant where none is named. */
  readonly defaultManager: string;
  secrets(manager?: string): SecretDirectory;
  /** Reads values as they are stored: audited. */
  readonly stored: SecretReader;
  /** The names under which sources may know a secret manager, its own the first. */
  namesOf(manager: string): string[];
  /** Does something with a secret manager that is written down first. */
  noteManager<T>(action: AuditEvent['action'], manager: string, work: () => Promise<T>): Promise<T>;
  /** Loads what a run over a source of this type needs, while there is time; without a type, what any needs. */
  prepare(type?: ConnectorType): void;
  /** Whether this process executes runs of a source that asks for this label. */
  takes(workerLabel: string | null): boolean;
  /** A run of the source for the caller to execute: the one that waits or is under way, or a new one. */
  request(sourceId: string): Promise<string>;
  /** Executes one run in this process. */
  crawl(runId: string, signal: AbortSignal): Promise<CrawlEnd>;
  /** Leads runs and helps with others, until the signal aborts and all has stopped at its checkpoint. */
  joinCrew(concurrency: number, signal: AbortSignal): Promise<void>;
  /** Does what the API asks of workers. */
  doTask(task: Task, signal: AbortSignal): Promise<unknown>;
  /** Tells a webhook what it has not taken yet. */
  deliver(webhookId: string, signal: AbortSignal): Promise<void>;
}

/** Chooses the implementations that the configuration asks for. */
export function openApp(foundation: Foundation): App {
  const { config, audit, database, queue } = foundation;
  const egress = createEgress(config.allowedEndpoints);
  const runtime = { clock: systemClock, egress, ambient: config.ambientCredentials };
  const limits = new Limits(systemClock);
  const worker = `${hostname()}:${process.pid}`;
  const credentials = credentialsFor(foundation, egress);
  const actor = `cli ${userInfo().username}`;
  const defaultManager = config.secretManagers.default ?? DEFAULT_NAME;
  const sourceParts = (workspace: string): SourceParts => ({
    reader: credentials.reader,
    directory: (manager) => credentials.directory(manager, workspace, `worker ${worker}`),
    runtime,
    limits,
  });
  const never = () => new AbortController().signal;
  const crawlParts = crawling(foundation, credentials.reader, sourceParts, worker);
  return {
    ...foundation,
    actor,
    perform: async () => {
      const db = await database();
      return openOperations({
        db,
        queue,
        changes: new ChangeWatch(db),
        declared: config.secretManagers,
        audit: config.audit,
        directory: credentials.directory,
        ...trialsHere(sourceParts, actor),
        noteManager: notesOfManagers(audit),
        oidcRules: config.http.oidc?.rules ?? [],
        about: aboutOf(config),
        plan: (planId) => makePlan({ db, sourceParts, actor }, planId, never()),
        assertWebhook: (url) => egress.assertEndpoint(url, 'public'),
      });
    },
    defaultManager,
    secrets: (manager = defaultManager) => credentials.directory(manager, config.workspace, actor),
    stored: credentials.stored,
    namesOf: (manager) => namesOf(config.secretManagers, manager),
    noteManager: (action, manager, work) =>
      notesOfManagers(audit)({ actor, workspace: config.workspace }, action, manager, work),
    doTask: async (task, signal) =>
      doTask({ db: await database(), sourceParts, worker, directory: credentials.directory }, task, signal),
    deliver: async (webhookId, signal) => {
      const parts = { db: await database(), reader: credentials.reader, egress, now: systemClock.now };
      await deliver({ ...parts, actor: `worker ${worker}` }, webhookId, signal);
    },
    prepare: (type) => (type ? prepareSource(type) : prepareReader(config.secretManagers)),
    takes: (workerLabel) => takes(config.crew, workerLabel),
    request: async (sourceId) => requestRun(await database(), sourceId, 'manual'),
    crawl: async (runId, signal) => crawl(await crawlParts(), runId, signal),
    joinCrew: async (concurrency, signal) => {
      const parts = await crawlParts();
      const settings = { ...config.crew, concurrency };
      await joinCrew(
        {
          ...parts,
          queue: await queue(),
          version: VERSION,
          settings,
          crawl: (runId, stop) => crawl(parts, runId, stop),
          help: (runId, isEnough, stop) => help(parts, runId, settings.handsPerRun, { isEnough }, stop),
        },
        signal,
      );
    },
  };
}

/** What runs are executed with in this process. */
function crawling(
  { config, log, database, content }: Foundation,
  reader: SecretReader,
  sourceParts: (workspace: string) => SourceParts,
  worker: string,
): () => Promise<CrawlParts> {
  const { dataDir, allowedEndpoints, ambientCredentials: ambient, tracing } = config;
  const { caps, handsPerRun } = config.crew;
  const deployment = {
    content: config.content,
    dataDir,
    allowedEndpoints,
    ambient,
    logLevel: log.level,
    tracing,
    caps,
    handsPerRun,
  };
  let threads: HandThreads | null = null;
  return async () => {
    const [db, store] = [await database(), await content()];
    threads ??= new HandThreads({ db, reader, log, worker, most: config.threads, deployment });
    return { db, content: store, sourceParts, clock: systemClock, log, worker, caps, threads };
  };
}

/** What the service asks of a worker, done by this process. */
function trialsHere(sourceParts: (workspace: string) => SourceParts, actor: string) {
  const never = new AbortController().signal;
  const check = (place: SourceRecord | Place) => checkSource(place, sourceParts(place.workspace), actor, never);
  return {
    check,
    tryPlace: check,
    preview: (place: Place) => preview(place, sourceParts(place.workspace), actor, never),
  };
}

/** The secret managers of the deployment, and those that its database has registered. */
function credentialsFor({ config, audit, database, log }: Foundation, egress: Egress): Credentials {
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
