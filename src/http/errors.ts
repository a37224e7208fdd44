import { ConfigError, describeError, InputError, LockgateError } from '../contract/errors.ts';

/** Statuses by our codes; what is not here is found by the rules below. */
const STATUS: Readonly<Record<string, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  secret_access_denied: 403,
  endpoint_refused: 400,
  route_not_found: 404,
  no_secret_ids: 404,
  no_sources: 409,
  credential_in_use: 409,
  secret_manager_in_use: 409,
  secret_manager_read_only: 409,
  secret_manager_not_configured: 409,
  secret_manager_of_workers: 409,
  source_busy: 409,
  run_ended: 409,
  run_not_waiting: 409,
  plan_not_ready: 409,
  secret_manager_unknown: 404,
  rate_limited: 429,
  no_worker: 504,
  identity_missing: 503,
  not_satisfiable: 416,
  changes_forgotten: 410,
  quota_exceeded: 409,
};

/** What a failure is over HTTP: never a stack, and nothing that is not one of our own words. */
export function answerOf(error: unknown): {
  status: number;
  body: { error: { code: string; message: string; hint?: string } };
} {
  const described = describeError(error);
  return { status: statusOf(error, described.code), body: { error: described } };
}

function statusOf(error: unknown, code: string): number {
  const known = STATUS[code];
  if (known) return known;
  if (error instanceof ConfigError) return 500;
  if (error instanceof InputError) return 400;
  if (!(error instanceof LockgateError)) return 500;
  if (code.startsWith('invalid_')) return 400;
  if (code.endsWith('_not_found')) return 404;
  if (code.endsWith('_exists')) return 409;
  if (/_(unavailable|throttled|refused)$/.test(code)) return 503;
  if (code.startsWith('credential_')) return 422;
  return 500;
}
