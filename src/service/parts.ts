import type { AuditFiles } from '../audit/file-log.ts';
import type { ChangeWatch } from '../collections/change-watch.ts';
import type { SourceRecord } from '../collections/sources.ts';
import type { Permission } from '../contract/api/endpoint.ts';
import type { Answer, Input, OperationName, Wire } from '../contract/api/index.ts';
import type { CheckReport } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import type { SecretDirectory } from '../contract/secret-manager.ts';
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
  /** Has somebody who may read the credential list it for a plan; resolves when that is done or has failed. */
  plan(planId: string): Promise<void>;
  /** Guards addresses that callers name. */
  assertWebhook(url: URL): void;
}

/** The operations, by the names of the interface. */
export type Operations = {
  readonly [K in OperationName]: (caller: Caller, input: Input<K>) => Promise<Wire<Answer<K>>>;
};

export type Some<K extends OperationName> = Pick<Operations, K>;
