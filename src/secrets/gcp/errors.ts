import {
  CredentialNotFoundError,
  CredentialUnusableError,
  LockgateError,
  SecretAccessDeniedError,
  SecretManagerUnavailableError,
} from '../../contract/errors.ts';

/** Of the codes of gRPC: https://grpc.io/docs/guides/status-codes/ */
export const NOT_FOUND = 5;
export const ALREADY_EXISTS = 6;
export const FAILED_PRECONDITION = 9;

export function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

/** Our error for one of the SDK's; of that, only the code is kept. */
export function toManagerError(error: unknown, id = ''): LockgateError {
  if (error instanceof LockgateError) return error;
  const code = codeOf(error);
  if (code === NOT_FOUND) return new CredentialNotFoundError(id);
  if (code === FAILED_PRECONDITION) {
    return new CredentialUnusableError(
      'credential_disabled',
      `The version of "${id}" is disabled or destroyed in Google Secret Manager.`,
      'Enable it there, or store a new version: lockgate secrets put <id> --type <type> < credential.json',
    );
  }
  if (code === 7 || code === 16) {
    return new SecretAccessDeniedError(
      code === 16 ? 'Google Secret Manager does not accept who asks.' : 'Google Secret Manager refuses this.',
      'Workers need roles/secretmanager.secretAccessor and secretmanager.secrets.get; who adds secrets needs create, list, get, delete and versions.add. Limit both to the prefix by an IAM condition.',
    );
  }
  if (code === 8) {
    return new SecretManagerUnavailableError(
      'secret_manager_throttled',
      'Google Secret Manager asks for fewer requests.',
      'It is tried again. Listings and metadata have a quota of 600 requests a minute for a project.',
    );
  }
  return new SecretManagerUnavailableError(
    'secret_manager_unavailable',
    'Google Secret Manager did not answer as it should.',
    'Check the network and LOCKGATE_GCP_PROJECT.',
  );
}
