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
  'S3 rejected the credential.',
  'Check that the key is active and its secret right, and store it again: lockgate secrets put <id> --type s3',
];
const DENIED: Rule = [
  'permission_denied',
  false,
  'The credential may not do this.',
  'A sync needs s3:ListBucket on the bucket and s3:GetObject on its objects, kms:Decrypt where they are encrypted with KMS, and requester_pays in the credential where the requester pays.',
];
const THROTTLED: Rule = ['throttled', true, 'S3 asks for fewer requests.'];
const AWAY: Rule = ['unavailable', true, 'S3 did not answer as it should.'];
const CHANGED: Rule = ['changed_during_fetch', false, 'The object changed after it was listed.'];
const NO_KEY: Rule = [
  'permission_denied',
  false,
  'The key in KMS that the object is encrypted with is disabled, waits to be deleted or is gone.',
  'Enable the key, or leave the object out.',
];
const WRONG_REGION: Rule = [
  'invalid_request',
  false,
  'The bucket is in another region or at another endpoint.',
  'Put the right region into the credential.',
];

export const NO_IDENTITY: Rule = [
  'credential_rejected',
  false,
  'This machine has no AWS identity to lend out.',
  'Give it a role (instance profile, task role, EKS service account), or store keys instead of auth.',
];

/** By S3's error code: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList */
const BY_CODE = rulesByWord({
  InvalidAccessKeyId: REJECTED,
  SignatureDoesNotMatch: REJECTED,
  InvalidToken: REJECTED,
  ExpiredToken: [
    'credential_rejected',
    false,
    'The session token has expired.',
    'Store a fresh one: lockgate secrets put <id> --type s3',
  ],
  ExpiredTokenException: REJECTED,
  TokenRefreshRequired: REJECTED,
  CredentialsProviderError: NO_IDENTITY,
  RequestTimeTooSkewed: [
    'credential_rejected',
    false,
    "This machine's clock is wrong, so S3 rejects its signatures.",
    'Set the clock.',
  ],
  AccessDenied: DENIED,
  AllAccessDisabled: DENIED,
  AccountProblem: DENIED,
  NoSuchBucket: [
    'not_found',
    false,
    'There is no such bucket.',
    'Check the path of the source, and the endpoint in the credential.',
  ],
  NoSuchKey: ['not_found', false, 'The object is gone.'],
  PreconditionFailed: CHANGED,
  InvalidObjectState: [
    'archived',
    false,
    'The object is in an archive tier and must be restored before it can be read.',
  ],
  SlowDown: THROTTLED,
  Throttling: THROTTLED,
  ThrottlingException: THROTTLED,
  'KMS.ThrottlingException': THROTTLED,
  'KMS.DisabledException': NO_KEY,
  'KMS.KMSInvalidStateException': NO_KEY,
  'KMS.NotFoundException': NO_KEY,
  RequestLimitExceeded: THROTTLED,
  TooManyRequestsException: THROTTLED,
  ServiceUnavailable: AWAY,
  RequestTimeout: AWAY,
  InternalError: AWAY,
  PermanentRedirect: WRONG_REGION,
  TemporaryRedirect: WRONG_REGION,
  AuthorizationHeaderMalformed: WRONG_REGION,
});

/** By HTTP status, where the answer had no code that is known (a HEAD, a proxy, another vendor). */
function byStatus(status: number | undefined): Rule {
  if (status === 401) return REJECTED;
  if (status === 403) return DENIED;
  if (status === 404) return ['not_found', false, 'What was asked for is not there.'];
  if (status === 412) return CHANGED;
  if (status === 429) return THROTTLED;
  if (status === 301 || status === 307 || status === 308) return WRONG_REGION;
  if (status !== undefined && status >= 400 && status < 500)
    return ['invalid_request', false, 'S3 does not accept the request.'];
  return AWAY;
}

interface SdkError {
  readonly name?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

/** Our error for one of the SDK's; of that, only its code, status, request ID and `Retry-After` are kept. */
export function toConnectorError(error: unknown, operation: Operation, signal: AbortSignal): unknown {
  if (error instanceof ConnectorError) return error;
  if (signal.aborted) return signal.reason;
  const { name = '', code = '', $metadata, $response } = error as SdkError;
  const status = $metadata?.httpStatusCode;
  const rule = BY_CODE.get(name) ?? BY_CODE.get(code) ?? SOCKET_RULES.get(code) ?? byStatus(status);
  return errorBy(rule, operation, {
    status,
    requestId: $metadata?.requestId,
    retryAfter: $response?.headers?.['retry-after'],
  });
}

/** The region that S3 names when it was asked in the wrong one; untrusted, so only a region's form passes. */
export function regionFrom(error: unknown): string | null {
  const { $response, Region, region } = error as SdkError & { Region?: unknown; region?: unknown };
  const named = $response?.headers?.['x-amz-bucket-region'] ?? Region ?? region;
  return typeof named === 'string' && /^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$/.test(named) ? named : null;
}
