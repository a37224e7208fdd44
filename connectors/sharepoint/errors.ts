import { errorBy, type Operation, type ErrorRule as Rule, SOCKET_RULES } from '../../src/contract/error-rules.ts';
import { ConnectorError } from '../../src/contract/errors.ts';

const AWAY: Rule = ['unavailable', true, 'Microsoft Graph did not answer as it should.'];
const THROTTLED: Rule = ['throttled', true, 'Microsoft asks for fewer requests.'];

/** By status: https://learn.microsoft.com/graph/errors */
const BY_STATUS: Readonly<Record<number, Rule>> = {
  400: ['invalid_request', false, 'Microsoft Graph does not accept the request.', 'Check the path of the source.'],
  401: [
    'credential_rejected',
    false,
    'Microsoft Graph rejected the token.',
    'Check that the application still exists in the tenant and that its permissions have admin consent.',
  ],
  403: [
    'permission_denied',
    false,
    'The application may not do this.',
    'Give it Sites.Selected and a grant of "read" on the site, or Sites.Read.All, with admin consent.',
  ],
  404: ['not_found', false, 'There is no such site, library, folder or file.', 'Check the path of the source.'],
  423: ['locked', false, 'It is locked.', 'Ask the administrator of the site to unlock it.'],
  429: THROTTLED,
  503: THROTTLED,
  509: THROTTLED,
};

export const LINK_GONE: Rule = ['unavailable', true, 'The link to the content no longer holds.'];
export const NO_LINK: Rule = [
  'not_downloadable',
  false,
  'SharePoint gives out no content for it: it may never have been checked in.',
  'Check it in, or have its policy allow downloads.',
];

/**
 * Our error for an answer that is none of success. Graph's own have an `error` in their bodies: without it (`isTheirs` is false), it is of
 * somebody between here and there. https://learn.microsoft.com/graph/errors#json-representation
 */
export function answerError({ status, headers }: Response, operation: Operation, isTheirs = true): ConnectorError {
  const known = BY_STATUS[status] ?? (status >= 300 && status < 500 ? (BY_STATUS[400] as Rule) : AWAY);
  return errorBy(isTheirs || known === THROTTLED ? known : AWAY, operation, {
    status,
    requestId: headers.get('request-id'),
    retryAfter: headers.get('retry-after'),
  });
}

/** Our error for whatever was thrown on the way to an answer. */
export function toConnectorError(error: unknown, operation: Operation, signal: AbortSignal): unknown {
  if (error instanceof ConnectorError) return error;
  if (signal.aborted) return signal.reason;
  const { cause, code } = error as { cause?: { code?: unknown }; code?: unknown };
  return errorBy(SOCKET_RULES.get(String(cause?.code ?? code)) ?? AWAY, operation);
}
