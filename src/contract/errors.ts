/** What every error of ours carries: a stable `code` for programs, a message for the reader, a hint that says what to do. */
export class LockgateError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.hint = hint;
  }
}

/** The caller gave something unusable: a bad path, glob, field or name. */
export class InputError extends LockgateError {}

/** The deployment is not set up right; the message names the environment variable or file. */
export class ConfigError extends LockgateError {
  constructor(message: string, hint?: string) {
    super('invalid_configuration', message, hint);
  }
}

export type ConnectorErrorCode =
  | 'credential_rejected'
  | 'permission_denied'
  | 'not_found'
  | 'throttled'
  | 'unavailable'
  | 'timeout'
  | 'changed_during_fetch'
  | 'checksum_mismatch'
  | 'truncated'
  | 'archived'
  | 'locked'
  | 'not_downloadable'
  | 'invalid_listing'
  | 'invalid_request'
  | 'endpoint_refused'
  | 'ambient_refused'
  | 'aborted';

export interface ConnectorErrorDetails {
  readonly operation: 'open' | 'check' | 'list' | 'read';
  readonly retryable: boolean;
  /** How long the source asked us to wait, in milliseconds. */
  readonly retryAfterMs?: number;
  /** The HTTP status, where there was one. */
  readonly status?: number;
  readonly requestId?: string;
  readonly hint?: string;
}

/**
 * The one error of every connector, made from scratch: it has no cause, body, header or URL, because the SDKs' own
 * errors carry key IDs, signatures and whole SAS URLs.
 */
export class ConnectorError extends LockgateError {
  declare readonly code: ConnectorErrorCode;
  readonly operation: ConnectorErrorDetails['operation'];
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly status: number | undefined;
  readonly requestId: string | undefined;

  constructor(code: ConnectorErrorCode, message: string, details: ConnectorErrorDetails) {
    super(code, message, details.hint);
    this.operation = details.operation;
    this.retryable = details.retryable;
    this.retryAfterMs = details.retryAfterMs;
    this.status = details.status;
    this.requestId = details.requestId;
  }
}

/** Anything that goes wrong with a secret manager or a secret in it. */
export class SecretManagerError extends LockgateError {}

/** No secret manager is switched on. */
export class SecretManagerNotConfiguredError extends SecretManagerError {
  constructor() {
    super(
      'secret_manager_not_configured',
      'No secret manager is configured, so there is nowhere to look credentials up.',
      'Enable one first: unset LOCKGATE_SECRET_MANAGER for the encrypted file store, or set it to file or env.',
    );
  }
}

/** The secret manager holds no secret of the connector type that was asked for. */
export class NoSecretIdsError extends SecretManagerError {
  constructor(connectorType: string) {
    super(
      'no_secret_ids',
      `The secret manager has no credential of type ${connectorType}.`,
      `Add one: lockgate secrets put my-creds --type ${connectorType} < credential.json`,
    );
  }
}

/** The credential ID is not in the secret manager. */
export class CredentialNotFoundError extends SecretManagerError {
  constructor(secretId: string, hint?: string) {
    super(
      'credential_not_found',
      `The secret manager has no credential "${secretId}".`,
      hint ?? 'Check the ID with: lockgate secrets list',
    );
  }
}

/** The secret manager, or the file system below it, refuses this process. */
export class SecretAccessDeniedError extends SecretManagerError {
  constructor(message: string, hint: string) {
    super('secret_access_denied', message, hint);
  }
}

/** The credential exists but is of another type, damaged, or not of its type's form. */
export class CredentialUnusableError extends SecretManagerError {
  constructor(
    code:
      | 'credential_malformed'
      | 'credential_wrong_type'
      | 'credential_tampered'
      | 'credential_disabled'
      | 'credential_deleted',
    message: string,
    hint?: string,
  ) {
    super(code, message, hint ?? 'Store it again: lockgate secrets put <id> --type <type> < credential.json');
  }
}

/** The secret manager does not answer as it should, or asks for fewer requests. It says nothing of the secret. */
export class SecretManagerUnavailableError extends SecretManagerError {
  constructor(code: 'secret_manager_unavailable' | 'secret_manager_throttled', message: string, hint: string) {
    super(code, message, hint);
  }
}

/** Makes an error readable and safe to keep: our own errors as they are, anything else by its class only. */
export function describeError(error: unknown): { code: string; message: string; hint?: string } {
  if (error instanceof LockgateError) {
    return { code: error.code, message: error.message, ...(error.hint ? { hint: error.hint } : {}) };
  }
  const name = error instanceof Error ? error.name : typeof error;
  const system = (error as { code?: unknown } | null)?.code;
  const code = typeof system === 'string' && /^[A-Z0-9_]{2,40}$/.test(system) ? ` (${system})` : '';
  return { code: 'internal', message: `Unexpected ${name}${code}.` };
}
