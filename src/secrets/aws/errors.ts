import {
  CredentialNotFoundError,
  CredentialUnusableError,
  LockgateError,
  SecretAccessDeniedError,
  SecretManagerUnavailableError,
} from '../../contract/errors.ts';

const DENIED: readonly string[] = [
  'AccessDeniedException',
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'InvalidClientTokenId',
  'ExpiredTokenException',
  'MissingAuthenticationTokenException',
  'IncompleteSignatureException',
  'CredentialsProviderError',
  // Of STS, where the machine's identity is a web identity.
  'AccessDenied',
  'InvalidIdentityToken',
  'InvalidIdentityTokenException',
  'DecryptionFailure',
  'EncryptionFailure',
];
const THROTTLED: readonly string[] = [
  'ThrottlingException',
  'TooManyRequestsException',
  'LimitExceededException',
  'RequestLimitExceeded',
];

export function nameOfError(error: unknown): string {
  return String((error as { name?: unknown } | null)?.name ?? '');
}

/** AWS says with one name that a secret waits to be deleted and that a request makes no sense. */
export function isScheduledForDeletion(error: unknown): boolean {
  return nameOfError(error) === 'InvalidRequestException' && /delet/i.test(String((error as Error).message));
}

/** Our error for one of the SDK's; of that, only the name is kept: a hostile endpoint can put the request into its message. */
export function toManagerError(error: unknown, id = ''): LockgateError {
  if (error instanceof LockgateError) return error;
  const name = nameOfError(error);
  if (name === 'ResourceNotFoundException') return new CredentialNotFoundError(id);
  if (isScheduledForDeletion(error)) return deleted(id);
  if (DENIED.includes(name)) {
    return new SecretAccessDeniedError(
      'AWS Secrets Manager refuses this.',
      'Workers need secretsmanager:DescribeSecret and GetSecretValue (and kms:Decrypt on the key); who adds secrets needs CreateSecret, PutSecretValue, TagResource, DescribeSecret, ListSecretVersionIds, ListSecrets, DeleteSecret and RestoreSecret.',
    );
  }
  if (THROTTLED.includes(name)) {
    return new SecretManagerUnavailableError(
      'secret_manager_throttled',
      'AWS Secrets Manager asks for fewer requests.',
      'It is tried again. The account as a whole is throttled.',
    );
  }
  return new SecretManagerUnavailableError(
    'secret_manager_unavailable',
    'AWS Secrets Manager did not answer as it should.',
    'Check the network and LOCKGATE_AWS_REGION.',
  );
}

export function deleted(id: string): CredentialUnusableError {
  return new CredentialUnusableError(
    'credential_deleted',
    `"${id}" is scheduled for deletion in AWS Secrets Manager.`,
    'Store it again, which restores it: lockgate secrets put <id> --type <type> < credential.json',
  );
}
