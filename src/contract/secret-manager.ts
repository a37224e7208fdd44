import { CONNECTOR_TYPES } from './connector.ts';
import type { Secret } from './secret.ts';

/** What a secret opens: a source of that connector type, the deployment's database, a secret manager that a workspace
 * has registered; or what signs the messages of a webhook. */
export const SECRET_TYPES = [...CONNECTOR_TYPES, 'database', 'manager', 'webhook'] as const;
export type SecretType = (typeof SECRET_TYPES)[number];

/** Where a secret is. Safe to store, log and return. */
export interface SecretRef {
  /** The name of a secret manager of the deployment or of the workspace. */
  readonly manager: string;
  readonly workspace: string;
  readonly secretId: string;
  /** Absent: the latest. */
  readonly version?: string;
  /** `secretId` is the backend's own name of a secret that another tool made, such as a path of Vault. */
  readonly foreign?: true;
}

/** What a secret may be used for; an absent list says nothing. */
export interface SecretScope {
  /** Names of collections. */
  readonly collections?: readonly string[];
  /** Such as `s3://bucket/folder`: it and what lies below. */
  readonly paths?: readonly string[];
}

/** What stands beside a value and can be read without it. */
export interface SecretMetadata {
  /** Absent: as it was, and of a new secret, everything. */
  readonly scope?: SecretScope;
  /** When the credential ends, as far as it says itself; ISO 8601. */
  readonly expiresAt?: string;
}

/** What is known of a secret without reading its value. */
export interface SecretInfo {
  readonly id: string;
  readonly connectorType: SecretType;
  /** The latest first; null in a listing where they would cost a request for each secret. */
  readonly versions: readonly { readonly version: string; readonly createdAt: string | null }[] | null;
  /** Of the latest version; null: not known. */
  readonly expiresAt: string | null;
  /** Null: it may be used for everything of its workspace. */
  readonly scope: SecretScope | null;
}

/** What the API process holds: it can add and list, and cannot read. */
export interface SecretDirectory {
  /** Never reads a value. In the order of the IDs. */
  list(filter?: { connectorType?: SecretType }): AsyncIterable<SecretInfo>;
  /** Throws `CredentialNotFoundError`. */
  describe(id: string): Promise<SecretInfo>;
  /** Adds a new version; older ones stay. Throws `secret_manager_read_only` where the backend cannot write. */
  put(id: string, type: SecretType, credential: Secret<unknown>, metadata?: SecretMetadata): Promise<SecretInfo>;
  /** Removes all versions. Throws `CredentialNotFoundError`. */
  remove(id: string): Promise<void>;
}

/** Who reads a value, and for what. */
export interface AccessPurpose {
  readonly actor: string;
  readonly reason: string;
  readonly runId?: string;
  readonly sourceId?: string;
}

export interface AccessedSecret {
  /** With the version that was read. */
  readonly ref: SecretRef & { readonly version: string };
  /** Null: a secret of another tool, which does not say. */
  readonly connectorType: SecretType | null;
  readonly value: Secret<unknown>;
  readonly scope: SecretScope | null;
}

/** What a crawler worker holds: kept in modules that the API role never imports. */
export interface SecretReader {
  access(ref: SecretRef, purpose: AccessPurpose): Promise<AccessedSecret>;
}

/** One line of the audit log. Resolves when it is durable; when it throws, nothing may be released. */
export interface AuditLog {
  append(event: AuditEvent): Promise<void>;
}

export interface AuditEvent {
  readonly action:
    | `secret.${'access' | 'put' | 'remove' | 'list' | 'describe' | 'migrate' | 'rekey'}`
    | `manager.${'register' | 'unregister'}`;
  readonly actor: string;
  /** Of a listing the ID is `*`. */
  readonly secret: SecretRef;
  readonly outcome: 'attempt' | 'ok' | 'refused';
  readonly reason?: string;
  readonly runId?: string;
  readonly sourceId?: string;
}
