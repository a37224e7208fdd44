import type { OidcRule } from '../access/oidc.ts';
import type { AuditFiles } from '../audit/file-log.ts';
import type { ChangeWatch } from '../collections/change-watch.ts';
import type { Place, SourceRecord } from '../collections/sources.ts';
import type { Permission } from '../contract/api/endpoint.ts';
import type { Answer, Input, OperationName, Wire } from '../contract/api/index.ts';
import type { CheckReport } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import type { AuditEvent, SecretDirectory } from '../contract/secret-manager.ts';
import type { CrawlQueue } from '../jobs/queue.ts';
import type { DeclaredManagers } from '../secrets/managers.ts';

/** Who asks, in which workspace, and what they may do there. */
export interface Caller {
  /** As the audit log names them. */
  readonly actor: string;
  readonly workspace: string;
  readonly permissions: ReadonlySet<Permission>;
  /** Whether they may use every workspace of the deployment. */
  readonly everywhere: boolean;
  /** The workspaces that they may use; null: every one. */
  readonly workspaces: readonly string[] | null;
}

/** What the operations work with. None of it can read a secret. */
export interface ServiceParts {
  readonly db: Database;
  /** Opened when it is first needed. */
  queue(): Promise<Pick<CrawlQueue, 'send' | 'tell'>>;
  readonly changes: ChangeWatch;
  readonly declared: DeclaredManagers;
  readonly audit: AuditFiles;
  /** The half of a secret manager that adds and lists. */
  directory(manager: string, workspace: string, actor: string): SecretDirectory;
  /** Has somebody who may read the credential try the source. */
  check(source: SourceRecord, actor: string): Promise<CheckReport>;
  /** The same for what is no source yet. */
  tryPlace(place: Place, actor: string): Promise<CheckReport>;
  /** Has somebody who may read the credential list what a source would have, as far as the bounds of a preview reach. */
  preview(place: Place, actor: string): Promise<Answer<'sources.preview'>>;
  /** Has somebody who may read the credential list it for a plan; resolves when that is done or has failed. */
  plan(planId: string): Promise<void>;
  /** Does something with a secret manager that is written down first. */
  noteManager<T>(
    caller: Pick<Caller, 'actor' | 'workspace'>,
    action: AuditEvent['action'],
    manager: string,
    work: () => Promise<T>,
  ): Promise<T>;
  readonly oidcRules: readonly OidcRule[];
  /** What is told of the deployment. */
  readonly about: Omit<Answer<'about.get'>, 'database' | 'node'>;
  /** Guards addresses that callers name. */
  assertWebhook(url: URL): void;
}

/** The operations, by the names of the interface. */
export type Operations = {
  readonly [K in OperationName]: (caller: Caller, input: Input<K>) => Promise<Wire<Answer<K>>>;
};

export type Some<K extends OperationName> = Pick<Operations, K>;
