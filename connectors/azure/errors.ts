import {
  errorBy,
  type Operation,
  type ErrorRule as Rule,
  rulesByWord,
  SOCKET_RULES,
} from '../../src/contract/error-rules.ts';
import { ConnectorError } from '../../src/contract/errors.ts';

const REJECTED: Rule = [
  'credential_rejected',
  false,
  'Azure rejected the credential.',
  'Check that the SAS has not expired and the key or secret is current, and store it again: lockgate secrets put <id> --type azure',
];
const DENIED: Rule = [
  'permission_denied',
  false,
  'The credential may not do this.',
  'A sync needs to read and to list: sp=rl in a SAS of the container (or srt=co in one of the account), or the role Storage Blob Data Reader. A firewall of the account refuses in the same way.',
];
const THROTTLED: Rule = ['throttled', true, 'Azure asks for fewer requests.'];
const AWAY: Rule = ['unavailable', true, 'Azure did not answer as it should.'];
const CHANGED: Rule = ['changed_during_fetch', false, 'The blob changed after it was listed.'];

/** By Azure's error code: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */
const BY_CODE = rulesByWord({
  AuthenticationFailed: REJECTED,
  InvalidAuthenticationInfo: REJECTED,
  NoAuthenticationInformation: REJECTED,
  KeyBasedAuthenticationNotPermitted: [
    'credential_rejected',
    false,
    'The storage account does not allow account keys.',
    'Use a user-delegation SAS, or an application of Microsoft Entra ID.',
  ],
  PublicAccessNotPermitted: DENIED,
  AuthorizationFailure: DENIED,
  AuthorizationPermissionMismatch: DENIED,
  AuthorizationSourceIPMismatch: DENIED,
  AuthorizationProtocolMismatch: DENIED,
  AuthorizationServiceMismatch: DENIED,
  AuthorizationResourceTypeMismatch: DENIED,
  InsufficientAccountPermissions: DENIED,
  AccountIsDisabled: DENIED,
  ContainerNotFound: [
    'not_found',
    false,
    'There is no such container.',
    'Check the path of the source and the account.',
  ],
  BlobNotFound: ['not_found', false, 'The blob is gone.'],
  ConditionNotMet: CHANGED,
  BlobArchived: ['archived', false, 'The blob is in the archive tier and must be rehydrated before it can be read.'],
  BlobBeingRehydrated: ['archived', false, 'The blob is on its way out of the archive tier, which takes hours.'],
  BlobUsesCustomerSpecifiedEncryption: [
    'permission_denied',
    false,
    'The blob is encrypted with a key that its owner keeps, and that is not in the credential.',
    'Leave the blob out, or have it stored under a key of the account.',
  ],
  KeyVaultEncryptionKeyNotFound: [
    'permission_denied',
    false,
    'The key in Key Vault that the account is encrypted with is disabled or gone.',
    'Give the account its key back.',
  ],
  ServerBusy: THROTTLED,
  OperationTimedOut: AWAY,
  InternalError: AWAY,
});

function byStatus(status: number | undefined): Rule {
  if (status === 401) return REJECTED;
  if (status === 403) return DENIED;
  if (status === 404) return ['not_found', false, 'What was asked for is not there.'];
  if (status === 412) return CHANGED;
  if (status === 429) return THROTTLED;
  if (status !== undefined && status >= 300 && status < 500)
    return ['invalid_request', false, 'Azure does not accept the request.'];
  return AWAY;
}

interface SdkError {
  readonly name?: string;
  readonly code?: string;
  readonly statusCode?: number;
  readonly details?: { readonly errorCode?: string };
  readonly response?: { readonly headers?: { get?(name: string): string | undefined } };
}

/** Our error for one of the SDK's, which carries the SAS in its URL; of that, only code, status and request ID are kept. */
export function toConnectorError(error: unknown, operation: Operation, signal: AbortSignal): unknown {
  if (error instanceof ConnectorError) return error;
  if (signal.aborted) return signal.reason;
  const { code = '', statusCode, details, response } = error as SdkError;
  const status = typeof statusCode === 'number' && statusCode >= 100 && statusCode < 600 ? statusCode : undefined;
  const rule = unauthenticated(error)
    ? REJECTED
    : (BY_CODE.get(details?.errorCode ?? '') ?? BY_CODE.get(code) ?? SOCKET_RULES.get(code) ?? byStatus(status));
  const header = (name: string) => response?.headers?.get?.(name);
  return errorBy(rule, operation, {
    status,
    requestId: header('x-ms-request-id'),
    retryAfter: header('retry-after'),
  });
}

/** Azure uses one code for a signature that is wrong and for a right that is missing; only its text tells them apart. */
function unauthenticated(error: unknown): boolean {
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  return statusCode === 403 && /^\s*Server failed to authenticate/.test(message ?? '');
}
