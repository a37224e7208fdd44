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
  'Google rejected the credential.',
  'Check that the service account exists and the key is not revoked, and store it again: lockgate secrets put <id> --type gcs',
];
const REDIRECTED: Rule = [
  'invalid_request',
  false,
  'GCS leads to another host, which gets nothing.',
  'Check endpoint and universe_domain in the credential.',
];
const NO_TOKEN: Rule = ['unavailable', true, 'The token endpoint did not answer as it should.'];
const AWAY: Rule = ['unavailable', true, 'GCS did not answer as it should.'];
const THROTTLED: Rule = ['throttled', true, 'GCS asks for fewer requests.'];

/** By HTTP status: https://cloud.google.com/storage/docs/json_api/v1/status-codes */
const BY_STATUS: Readonly<Record<number, Rule>> = {
  400: [
    'invalid_request',
    false,
    'GCS does not accept the request.',
    'Buckets where the requester pays need user_project in the credential.',
  ],
  401: REJECTED,
  403: [
    'permission_denied',
    false,
    'The service account may not do this.',
    'A sync needs storage.objects.list and storage.objects.get: the role Storage Object Viewer on the bucket.',
  ],
  404: ['not_found', false, 'There is no such bucket or object.', 'Check the path of the source.'],
  408: AWAY,
  412: ['changed_during_fetch', false, 'The object changed after it was listed.'],
  416: ['invalid_request', false, 'GCS does not have the range that was asked for.'],
  429: THROTTLED,
};

const NO_KEY: Rule = [
  'permission_denied',
  false,
  'The key in Cloud KMS that the object is encrypted with is disabled or gone.',
  'Enable the key, or leave the object out.',
];
const FOREIGN_KEY: Rule = [
  'permission_denied',
  false,
  'The object is encrypted with a key that its owner keeps, and that is not in the credential.',
  'Leave the object out, or have it stored under a key of Cloud KMS.',
];

/** Where the status alone says something else, or too little: https://cloud.google.com/storage/docs/json_api/v1/status-codes */
const BY_REASON = rulesByWord({
  cloudKmsDisabledKey: NO_KEY,
  cloudKmsDecryptionKeyNotFound: NO_KEY,
  cloudKmsEncryptionKeyNotFound: NO_KEY,
  resourceIsEncryptedWithCustomerEncryptionKey: FOREIGN_KEY,
  rateLimitExceeded: THROTTLED,
  userRateLimitExceeded: THROTTLED,
});

/** Google's own words for a key that is revoked, unknown or expired: RFC 6749 section 5.2. */
const TOKEN_REFUSALS = new Set(['invalid_grant', 'invalid_client', 'unauthorized_client']);

interface SdkError {
  readonly code?: unknown;
  readonly status?: unknown;
  readonly errors?: readonly { readonly reason?: unknown }[];
  readonly response?: { readonly headers?: unknown; readonly status?: unknown };
}

/** Our error for one of the SDK's; of that, only its reason, status and `Retry-After` are kept. */
export function toConnectorError(error: unknown, operation: Operation, signal: AbortSignal): unknown {
  if (error instanceof ConnectorError) return error;
  if (signal.aborted) return signal.reason;
  const { code, status, errors, response } = error as SdkError;
  const http = [status, code, response?.status].map(Number).find((each) => each >= 100 && each < 600);
  const known = SOCKET_RULES.get(String(code)) ?? BY_REASON.get(String(errors?.[0]?.reason));
  const rule = known ?? (http === undefined ? AWAY : ruleOf(http));
  return errorBy(rule, operation, { status: http, retryAfter: headerOf(response?.headers, 'retry-after') });
}

function ruleOf(status: number): Rule {
  const rule = BY_STATUS[status];
  if (rule) return rule;
  if (status >= 300 && status < 400) return REDIRECTED;
  return status >= 400 && status < 500 ? (BY_STATUS[400] as Rule) : AWAY;
}

/** The answer of the token endpoint when it gives no token. One without a `reason` is not Google's, but of somebody between here and there. */
export function tokenError(status: number, reason: unknown): ConnectorError {
  if (status === 429) return errorBy(THROTTLED, 'open', { status });
  const isRefused = (status === 401 || status === 403) && reason !== undefined;
  return errorBy(isRefused || TOKEN_REFUSALS.has(String(reason)) ? REJECTED : NO_TOKEN, 'open', { status });
}

function headerOf(headers: unknown, name: string): unknown {
  return headers instanceof Headers ? headers.get(name) : (headers as Record<string, unknown> | undefined)?.[name];
}
