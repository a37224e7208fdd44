import {
  CredentialNotFoundError,
  CredentialUnusableError,
  LockgateError,
  SecretAccessDeniedError,
  SecretManagerUnavailableError,
} from '../../contract/errors.ts';

interface SdkError {
  readonly name?: string;
  readonly statusCode?: number;
  readonly message?: string;
}

export function statusOf(error: unknown): number | undefined {
  return (error as SdkError | null)?.statusCode;
}

/** Whether Microsoft Entra ID does not accept who asks, or nobody is there to ask as. */
export function isUnidentified(error: unknown): boolean {
  const { name = '' } = error as SdkError;
  return /^(AuthenticationRequired|CredentialUnavailable|AggregateAuthentication|Authentication)Error$/.test(name);
}

/** For who asks for a token of a service that is away or throttles. */
export function noToken(): Error {
  return Object.assign(new Error('no token'), { name: NO_TOKEN });
}

const NO_TOKEN = 'TokenServiceError';

/** Our error for one of the SDK's; of that, only the status is kept, and whether it speaks of a disabled version. */
export function toManagerError(error: unknown, id = ''): LockgateError {
  if (error instanceof LockgateError) return error;
  const { name, statusCode, message = '' } = error as SdkError;
  if (name === NO_TOKEN) {
    return new SecretManagerUnavailableError(
      'secret_manager_unavailable',
      'The service that gives out tokens for Azure Key Vault did not answer as it should.',
      'It is tried again. Check the network to Microsoft Entra ID.',
    );
  }
  if (statusCode === 404) return new CredentialNotFoundError(id);
  if (statusCode === 403 && /disabled/i.test(message)) {
    return new CredentialUnusableError(
      'credential_disabled',
      `The version of "${id}" is disabled in Azure Key Vault.`,
      'Enable it there, or store a new version: lockgate secrets put <id> --type <type> < credential.json',
    );
  }
  const unidentified = isUnidentified(error);
  if (statusCode === 401 || statusCode === 403 || unidentified) {
    return new SecretAccessDeniedError(
      unidentified ? 'Microsoft Entra ID does not accept who asks.' : 'Azure Key Vault refuses this.',
      'Workers need the role Key Vault Secrets User; who adds and lists secrets a role with secrets/setSecret, readMetadata and delete, and not getSecret. A firewall of the vault refuses in the same way.',
    );
  }
  if (statusCode === 429) {
    return new SecretManagerUnavailableError(
      'secret_manager_throttled',
      'Azure Key Vault asks for fewer requests.',
      'It is tried again.',
    );
  }
  return new SecretManagerUnavailableError(
    'secret_manager_unavailable',
    'Azure Key Vault did not answer as it should.',
    'Check the network and LOCKGATE_AZURE_KEY_VAULT.',
  );
}
