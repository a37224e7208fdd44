import type { IncomingMessage } from 'node:http';
import { readChanges } from '../collections/changes.ts';
import { locateWebhook, noteRefused, noteTaken, type WebhookRecord } from '../collections/webhooks.ts';
import type { Egress } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { nodeHttp } from '../contract/node-http.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretReader } from '../contract/secret-manager.ts';
import { traced } from '../layers/traced.ts';

const CHANGES_AT_ONCE = 100;
const TIMEOUT_MS = 15_000;
/** About a day in all; then it waits for somebody to look at it. */
const MAX_ATTEMPTS = 20;
const MAX_WAIT_SECONDS = 2 * 3600;

export interface WebhookParts {
  readonly db: Database;
  readonly reader: SecretReader;
  readonly egress: Egress;
  readonly actor: string;
  readonly now: () => number;
}

/** The header that proves who sent a message: `t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>" in hex>`. */
export function signatureOf(body: string, secret: Secret<string>, seconds: number): string {
  return `t=${seconds},v1=${secret.hmac(`${seconds}.${body}`)}`;
}

/**
 * Tells a webhook what it has not taken yet, in order, until it has all or refuses. One process at a time tells one webhook.
 * What it does not take is tried again with growing pauses; after a day it is switched off, and nothing is lost.
 */
export async function deliver(parts: WebhookParts, id: string, signal: AbortSignal): Promise<void> {
  const { db } = parts;
  await using lock = await db.tryLock(`webhook ${id}`);
  if (!lock) return;
  for (;;) {
    const webhook = await locateWebhook(db, id);
    if (!webhook || signal.aborted) return;
    const changes = await readChanges(db, webhook.collectionId, webhook.after, CHANGES_AT_ONCE).catch(async (error) => {
      if ((error as LockgateError).code !== 'changes_forgotten') throw error;
      // It was off for longer than changes are kept: trying again does not help.
      await noteRefused(db, id, describeError(error).message, null);
      return [];
    });
    const last = changes.at(-1);
    if (!last) return;
    try {
      const { workspace, collection, secretManager: manager, secretId } = webhook;
      const purpose = { actor: parts.actor, reason: `sign for webhook ${id}` };
      const { value } = await parts.reader.access({ manager, workspace, secretId }, purpose);
      const body = JSON.stringify({ webhook: id, workspace, collection, changes, next: last.number });
      const about = { 'lockgate.webhook_id': id, 'lockgate.changes': changes.length };
      await traced({ name: 'webhook', kind: 'client', attributes: about }, () =>
        send(parts, webhook, body, value.map(keyOf), signal),
      );
    } catch (error) {
      if (signal.aborted) return;
      const stop = webhook.attempts + 1 >= MAX_ATTEMPTS;
      const wait = Math.min(MAX_WAIT_SECONDS, 2 ** webhook.attempts);
      return noteRefused(db, id, describeError(error).message, stop ? null : wait);
    }
    await noteTaken(db, id, last.number);
  }
}

function keyOf(value: unknown): string {
  const key = (value as { secret?: unknown } | null)?.secret;
  if (typeof key === 'string') return key;
  throw new LockgateError('credential_malformed', 'The secret of the webhook has no field "secret".');
}

async function send(
  { egress, now }: WebhookParts,
  { url: text }: WebhookRecord,
  body: string,
  key: Secret<string>,
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(text);
  egress.assertEndpoint(url, 'public');
  const lookup = egress.lookupFor(url);
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': 'lockgate',
    'lockgate-signature': signatureOf(body, key, Math.floor(now() / 1000)),
  };
  const options = {
    method: 'POST',
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    ...(lookup ? { lookup } : {}),
  };
  const status = await new Promise<number>((resolve, reject) => {
    const request = nodeHttp(url.protocol).request(url, options, (response: IncomingMessage) => {
      // What it says is not looked at; a redirect is not followed.
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
      response.once('error', reject);
    });
    request.once('error', reject);
    request.end(body);
  }).catch((error: { code?: string; name?: string }) => {
    const why = /^[A-Z_]{2,40}$/.test(error.code ?? '') ? error.code : 'no answer';
    throw new LockgateError('webhook_unreachable', `The address does not answer (${why}).`);
  });
  if (status >= 200 && status < 300) return;
  throw new LockgateError('webhook_refused', `The address answered with status ${status}.`);
}
