import type { ConnectorType } from './connector.ts';
import type { Secret } from './secret.ts';

/** Where a secret is. Safe to store, log and return. */
export interface SecretRef {
  readonly manager: string;
  readonly workspace: string;
  readonly secretId: string;
  /** Absent: the latest. */
  readonly version?: string;
}

/** What is known of a secret without reading its value. */
export interface SecretInfo {
  readonly id: string;
  readonly connectorType: ConnectorType;
  /** The latest first; null in a listing where they would cost a request for each secret. */
  readonly versions: readonly { readonly version: string; readonly createdAt: string | null }[] | null;
}

/** What the API process holds: it can add and list, and cannot read. */
export interface SecretDirectory {
  /** Never reads a value. In the order of the IDs. */
  list(filter?: { connectorType?: ConnectorType }): AsyncIterable<SecretInfo>;
  /** Throws `CredentialNotFoundError`. */
  describe(id: string): Promise<SecretInfo>;
  /** Adds a new version; older ones stay. Throws `secret_manager_read_only` where the backend cannot write. */
  put(id: string, connectorType: ConnectorType, credential: Secret<unknown>): Promise<SecretInfo>;
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
  readonly connectorType: ConnectorType;
  readonly value: Secret<unknown>;
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
  readonly action: 'secret.access' | 'secret.put' | 'secret.remove' | 'secret.list' | 'secret.describe';
  readonly actor: string;
  /** Of a listing the ID is `*`. */
  readonly secret: SecretRef;
  readonly outcome: 'attempt' | 'ok' | 'refused';
  readonly reason?: string;
  readonly runId?: string;
  readonly sourceId?: string;
}
