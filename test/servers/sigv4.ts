import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/**
 * Checks AWS Signature Version 4 in the Authorization header, written from the public description and not from the
 * SDK: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export interface KeyPair {
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export type Verdict =
  | { readonly ok: true; readonly accessKeyId: string; readonly region: string }
  | { readonly ok: false; readonly status: number; readonly code: string; readonly message: string };

const MAX_SKEW_MS = 15 * 60_000;
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;

export function verifySigV4(
  request: IncomingMessage,
  service: string,
  keys: ReadonlyMap<string, KeyPair>,
  now: number,
  body?: Buffer,
): Verdict {
  const found = AUTHORIZATION.exec(request.headers.authorization ?? '');
  if (!found) return refusal(403, 'AccessDenied', 'Access Denied');
  const [, accessKeyId = '', day = '', region = '', signedService = '', signed = '', signature = ''] = found;
  const pair = keys.get(accessKeyId);
  if (!pair)
    return refusal(403, 'InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.');
  const stamp = String(request.headers['x-amz-date'] ?? '');
  const at = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (!(Math.abs(now - at) <= MAX_SKEW_MS) || !stamp.startsWith(day)) {
    return refusal(
      403,
      'RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.',
    );
  }
  if (String(request.headers['x-amz-security-token'] ?? '') !== (pair.sessionToken ?? '')) {
    return refusal(400, 'InvalidToken', 'The provided token is malformed or otherwise invalid.');
  }
  const names = signed.split(';');
  const mustSign = Object.keys(request.headers).filter((name) => name === 'host' || name.startsWith('x-amz-'));
  if (signedService !== service || mustSign.some((name) => !names.includes(name))) {
    return refusal(403, 'AccessDenied', 'There were headers present in the request which were not signed');
  }
  const hashed = createHash('sha256')
    .update(canonicalRequest(request, names, body))
    .digest('hex');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', stamp, scope, hashed].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce<Buffer | string>(
    (derived, part) => createHmac('sha256', derived).update(part).digest(),
    `AWS4${pair.secretAccessKey}`,
  );
  const expected = createHmac('sha256', key).update(toSign).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, 'hex'))) {
    return refusal(
      403,
      'SignatureDoesNotMatch',
      `The request signature we calculated does not match the signature you provided.</Message><AWSAccessKeyId>${accessKeyId}</AWSAccessKeyId><StringToSign>${toSign}</StringToSign><Message>`,
    );
  }
  return { ok: true, accessKeyId, region };
}

function refusal(status: number, code: string, message: string): Verdict {
  return { ok: false, status, code, message };
}

function canonicalRequest(request: IncomingMessage, names: readonly string[], body: Buffer | undefined): string {
  const [path = '/', query = ''] = (request.url ?? '/').split('?');
  const pairs = query
    .split('&')
    .filter(Boolean)
    .map((pair) => {
      const [name = '', value = ''] = pair.split('=');
      return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value))] as const;
    })
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1));
  return [
    request.method,
    path,
    pairs.map((pair) => pair.join('=')).join('&'),
    ...names.map(
      (name) =>
        `${name}:${String(request.headers[name] ?? '')
          .trim()
          .replace(/ +/g, ' ')}`,
    ),
    '',
    names.join(';'),
    // S3 is told the body's hash; other services compute it.
    body ? createHash('sha256').update(body).digest('hex') : String(request.headers['x-amz-content-sha256'] ?? ''),
  ].join('\n');
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
