import { ConnectorError, type ConnectorErrorCode, type ConnectorErrorDetails } from './errors.ts';

export type Operation = ConnectorErrorDetails['operation'];

/** What one kind of failure of a source is in our words. */
export type ErrorRule = readonly [code: ConnectorErrorCode, retryable: boolean, message: string, hint?: string];

/** Rules by a word of whoever answers: it may be any, such as `constructor`, so a plain object will not do. */
export type RulesByWord = ReadonlyMap<string, ErrorRule>;

export function rulesByWord(rules: Readonly<Record<string, ErrorRule>>): RulesByWord {
  return new Map(Object.entries(rules));
}

/** What of an answer may live on in our error. */
export interface AnswerFacts {
  readonly status?: number | undefined;
  readonly requestId?: unknown;
  /** As it stands in the header: seconds, or a date. */
  readonly retryAfter?: unknown;
}

/** Our error for a failure, made from scratch. A request ID that has not the form of one is dropped. */
export function errorBy(rule: ErrorRule, operation: Operation, facts: AnswerFacts = {}): ConnectorError {
  const [code, retryable, message, hint] = rule;
  const { status, requestId } = facts;
  const retryAfterMs = parseRetryAfter(facts.retryAfter);
  return new ConnectorError(code, message, {
    operation,
    retryable,
    ...(hint ? { hint } : {}),
    ...(status ? { status } : {}),
    ...(typeof requestId === 'string' && /^[\w+/=-]{1,128}$/.test(requestId) ? { requestId } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function parseRetryAfter(value: unknown): number | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return seconds >= 0 ? seconds * 1000 : undefined;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** Rules that hold wherever a credential names an endpoint, by the codes of Node's sockets. */
export const SOCKET_RULES: RulesByWord = rulesByWord({
  EREFUSED: [
    'endpoint_refused',
    false,
    "The name of the credential's endpoint leads to an internal address.",
    'If it is meant, list its origin in LOCKGATE_ALLOWED_ENDPOINTS.',
  ],
  ENOTFOUND: ['unavailable', true, "The endpoint's name is not known.", 'Check the names in the credential.'],
  ECONNREFUSED: ['unavailable', true, 'The endpoint refuses connections.', 'Check the endpoint in the credential.'],
});
