/**
 * Takes messages of a webhook, and believes only those that Lockgate has signed and that are not older than five minutes.
 *
 *   WEBHOOK_SECRET_FILE=secret.txt PORT=4000 node examples/webhook-receiver.ts
 *
 * The secret is what "lockgate webhooks add" or the page showed once.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const secret = readFileSync(process.env.WEBHOOK_SECRET_FILE ?? 'secret.txt', 'utf8').trim();
const TOLERANCE_SECONDS = 300;
const MAX_BYTES = 10 * 1024 * 1024;
/** Messages can come twice, and never in another order: what was seen is left out. */
let seen = 0;

/** Of `t=seconds,v1=hex`, where the hex is HMAC-SHA-256 over `seconds.body`. */
function isGenuine(header: string, body: Buffer): boolean {
  const [, seconds = '', mac = ''] = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header) ?? [];
  const expected = createHmac('sha256', secret).update(`${seconds}.`).update(body).digest();
  const given = Buffer.from(mac, 'hex');
  const age = Math.abs(Date.now() / 1000 - Number(seconds));
  return given.length === expected.length && timingSafeEqual(given, expected) && age <= TOLERANCE_SECONDS;
}

const server = createServer(async (request, response) => {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_BYTES) return void response.writeHead(413).end();
    parts.push(part);
  }
  const body = Buffer.concat(parts);
  if (!isGenuine(String(request.headers['lockgate-signature']), body)) return void response.writeHead(401).end();
  const { changes } = JSON.parse(body.toString()) as { changes: { number: number; kind: string; path: string }[] };
  for (const { number, kind, path } of changes.filter((change) => change.number > seen)) {
    process.stdout.write(`${number} ${kind} ${path}\n`);
    seen = number;
  }
  // Only now: what is not answered with 2xx comes again.
  response.writeHead(204).end();
});
server.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`listening on http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}\n`);
});
process.once('SIGTERM', () => server.close());
