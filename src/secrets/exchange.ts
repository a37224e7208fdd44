import type { IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import { nodeHttp } from '../contract/node-http.ts';

/** For all of an answer, also one that comes drop by drop. */
const TIMEOUT_MS = 20_000;

export interface Exchanged {
  readonly status: number;
  /** Null: it is no JSON object, so whoever answered is not whom we asked. A page of a proxy, mostly. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

/** Asks a secret manager that speaks JSON over HTTP. Rejects when there is no whole answer in time, or it is longer than `maxBytes`. */
export async function exchange(
  url: URL,
  options: RequestOptions,
  body: string | undefined,
  maxBytes: number,
): Promise<Exchanged> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = nodeHttp(url.protocol).request(url, { ...options, signal }, resolve);
    request.once('error', reject);
    request.end(body);
  });
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new Error('too long');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, body: objectIn(Buffer.concat(chunks).toString('utf8')) };
}

/** Nothing at all counts as an empty one. */
function objectIn(text: string): Exchanged['body'] {
  try {
    const body: unknown = JSON.parse(text || '{}');
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? { ...body } : null;
  } catch {
    return null;
  }
}
