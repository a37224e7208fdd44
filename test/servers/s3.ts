import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Fault, faultyBody, sendBody } from './fault.ts';
import { LoopbackServer } from './loopback.ts';
import { type KeyPair, verifySigV4 } from './sigv4.ts';

/**
 * An S3 server for tests: verifies SigV4, lists in UTF-8 byte order by pages, answers ranges and conditions, and fails
 * on demand. Path style, and access points by their host names. https://docs.aws.amazon.com/AmazonS3/latest/API/
 */
export interface S3Object {
  readonly body: Buffer;
  /** With its quotes. */
  readonly etag: string;
  readonly modifiedAt: number;
  readonly contentType: string;
  readonly storageClass: string;
  /** Sent with the object, such as checksums. */
  readonly headers: Readonly<Record<string, string>>;
  /** The MD5 of the customer's key that it is encrypted with (SSE-C), in base64. */
  readonly customerKeyMd5?: string;
}

export interface S3Request {
  readonly operation:
    | 'ListObjectsV2'
    | 'GetObject'
    | 'HeadBucket'
    | 'PutObject'
    | 'HeadObject'
    | 'DeleteObject'
    | 'Other';
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

export class S3Server extends LoopbackServer {
  readonly buckets = new Map<string, Map<string, S3Object>>();
  readonly keys = new Map<string, KeyPair>();
  /** Buckets that anybody may read. */
  readonly open = new Set<string>();
  /** Access keys that may only list, or nothing. */
  readonly denied = new Map<string, readonly S3Request['operation'][]>();
  /** Buckets whose requesters pay. */
  readonly requesterPays = new Set<string>();
  /** Buckets that are elsewhere than us-east-1. */
  readonly regions = new Map<string, string>();
  /** Asked before each request that has a valid signature. */
  fault: (request: S3Request) => Fault | undefined = () => undefined;
  pageSize = 1000;
  readonly counts = new Map<string, number>();
  requests = 0;
  now: () => number = Date.now;
  #sorted = new WeakMap<Map<string, S3Object>, string[]>();

  put(bucket: string, key: string, body: Buffer | string, more: Partial<S3Object> = {}): void {
    const bytes = Buffer.from(body);
    const objects = this.buckets.get(bucket) ?? new Map<string, S3Object>();
    this.buckets.set(bucket, objects);
    if (!objects.has(key)) this.#sorted.delete(objects);
    objects.set(key, {
      body: bytes,
      etag: `"${createHash('md5').update(bytes).digest('hex')}"`,
      modifiedAt: Math.floor(this.now() / 1000) * 1000,
      contentType: 'application/octet-stream',
      storageClass: 'STANDARD',
      headers: {},
      ...more,
    });
  }

  delete(bucket: string, key: string): void {
    const objects = this.buckets.get(bucket);
    objects?.delete(key);
    if (objects) this.#sorted.delete(objects);
  }

  #sortedKeys(objects: Map<string, S3Object>): string[] {
    const known = this.#sorted.get(objects);
    if (known) return known;
    const keys = [...objects.keys()]
      .map((key) => Buffer.from(key))
      .sort(Buffer.compare)
      .map(String);
    this.#sorted.set(objects, keys);
    return keys;
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/', query = ''] = (request.url ?? '/').split('?');
    const accessPoint = /^([a-z0-9-]+)\.[a-z]/.exec(request.headers.host ?? '')?.[1];
    const [, bucket = '', key = ''] = accessPoint
      ? ['', accessPoint, path.slice(1)]
      : (/^\/([^/]*)\/?(.*)$/s.exec(path) ?? []);
    const asked: S3Request = {
      operation: operationOf(request.method ?? '', key, query),
      bucket,
      key: decodeURIComponent(key),
      query: new URLSearchParams(query),
      headers: request.headers,
    };
    this.requests++;
    this.counts.set(asked.operation, (this.counts.get(asked.operation) ?? 0) + 1);
    const anonymous = this.open.has(bucket) && !request.headers.authorization;
    const verdict = anonymous
      ? ({ ok: true, accessKeyId: '', region: 'us-east-1' } as const)
      : verifySigV4(request, 's3', this.keys, this.now());
    if (!verdict.ok) return sendError(response, verdict.status, verdict.code, verdict.message);
    const fault = this.fault(asked);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === 'hold') await fault.until;
    if (fault?.kind === 'error') {
      return sendError(response, fault.status, fault.code, fault.message ?? 'injected', fault.headers);
    }
    if (this.denied.get(verdict.accessKeyId)?.includes(asked.operation)) {
      return sendError(response, 403, 'AccessDenied', 'Access Denied');
    }
    if (this.requesterPays.has(bucket) && request.headers['x-amz-request-payer'] !== 'requester') {
      return sendError(response, 403, 'AccessDenied', 'Access Denied');
    }
    const objects = this.buckets.get(bucket);
    if (!objects) return sendError(response, 404, 'NoSuchBucket', 'The specified bucket does not exist');
    const region = this.regions.get(bucket) ?? 'us-east-1';
    if (verdict.region !== region) {
      return sendError(response, 301, 'PermanentRedirect', 'Use the right endpoint.', {
        'x-amz-bucket-region': region,
      });
    }
    if (asked.operation === 'ListObjectsV2') return this.#list(asked, objects, response);
    if (asked.operation === 'GetObject') return sendObject(asked, objects, response, fault);
    if (asked.operation === 'PutObject') return this.#put(asked, request, objects, response);
    if (asked.operation === 'HeadObject') {
      const found = objects.get(asked.key);
      return void response.writeHead(found ? 200 : 404, found ? { etag: found.etag } : {}).end();
    }
    if (asked.operation === 'DeleteObject') {
      this.delete(bucket, asked.key);
      return void response.writeHead(204).end();
    }
    if (asked.operation === 'HeadBucket') return void response.writeHead(200, { 'x-amz-bucket-region': region }).end();
    sendError(response, 501, 'NotImplemented', 'Not implemented here');
  }

  /** Conditional, with the checksum that it states: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
  async #put(
    { bucket, key, headers }: S3Request,
    request: IncomingMessage,
    objects: Map<string, S3Object>,
    response: ServerResponse,
  ): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    if (headers['if-none-match'] === '*' && objects.has(key))
      return sendError(
        response,
        412,
        'PreconditionFailed',
        'At least one of the pre-conditions you specified did not hold',
      );
    const stated = headers['x-amz-checksum-sha256'];
    const sha256 = createHash('sha256').update(body).digest('base64');
    if (stated !== undefined && stated !== sha256)
      return sendError(response, 400, 'BadDigest', 'The checksum did not match');
    if (Number(headers['content-length']) !== body.length) return sendError(response, 400, 'IncompleteBody', 'length');
    this.put(bucket, key, body);
    response.writeHead(200, { etag: objects.get(key)?.etag ?? '', 'x-amz-checksum-sha256': sha256 }).end();
  }

  #list({ query, bucket }: S3Request, objects: Map<string, S3Object>, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const token = query.get('continuation-token');
    if (token !== null && !/^next-[A-Za-z0-9_-]*$/.test(token)) {
      return sendError(response, 400, 'InvalidArgument', 'The continuation token provided is incorrect');
    }
    const after = token ? Buffer.from(token.slice(5), 'base64url').toString() : (query.get('start-after') ?? '');
    const wanted = this.#sortedKeys(objects);
    const size = Math.min(this.pageSize, Number(query.get('max-keys') ?? 1000));
    const start = firstAfter(wanted, after, prefix);
    const page: string[] = [];
    let at = start;
    while (at < wanted.length && page.length < size && (wanted[at] as string).startsWith(prefix))
      page.push(wanted[at++] as string);
    const truncated = at < wanted.length && (wanted[at] as string).startsWith(prefix) && page.length > 0;
    const url = query.get('encoding-type') === 'url';
    const text = (key: string) =>
      url ? encodeURIComponent(key).replaceAll('%20', '+').replaceAll('%2F', '/') : escapeXml(key);
    const contents = page.map((key) => {
      const { etag, body, modifiedAt, storageClass } = objects.get(key) as S3Object;
      return `<Contents><Key>${text(key)}</Key><LastModified>${new Date(modifiedAt).toISOString()}</LastModified><ETag>${escapeXml(etag)}</ETag><Size>${body.length}</Size><StorageClass>${storageClass}</StorageClass></Contents>`;
    });
    const next = truncated
      ? `<NextContinuationToken>next-${Buffer.from(page.at(-1) as string).toString('base64url')}</NextContinuationToken>`
      : '';
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end(
      `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket}</Name><Prefix>${text(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${size}</MaxKeys>${url ? '<EncodingType>url</EncodingType>' : ''}<IsTruncated>${truncated}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`,
    );
  }
}

function operationOf(method: string, key: string, query: string): S3Request['operation'] {
  if (method === 'GET' && key === '' && /(^|&)list-type=2(&|$)/.test(query)) return 'ListObjectsV2';
  if (method === 'GET' && key !== '') return 'GetObject';
  if (method === 'PUT' && key !== '') return 'PutObject';
  if (method === 'DELETE' && key !== '') return 'DeleteObject';
  if (method === 'HEAD') return key === '' ? 'HeadBucket' : 'HeadObject';
  return 'Other';
}

/** The first index whose key is after `after` and not before `prefix`, in byte order. */
function firstAfter(keys: readonly string[], after: string, prefix: string): number {
  const bound = Buffer.from(after);
  const from = Buffer.from(prefix);
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const key = Buffer.from(keys[middle] as string);
    const before = (after !== '' && Buffer.compare(key, bound) <= 0) || Buffer.compare(key, from) < 0;
    if (before) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sendObject(
  asked: S3Request,
  objects: Map<string, S3Object>,
  response: ServerResponse,
  fault: Fault | undefined,
): void {
  const object = objects.get(asked.key);
  if (!object) return sendError(response, 404, 'NoSuchKey', 'The specified key does not exist.');
  const condition = asked.headers['if-match'];
  if (condition !== undefined && condition !== object.etag) {
    return sendError(
      response,
      412,
      'PreconditionFailed',
      'At least one of the pre-conditions you specified did not hold',
    );
  }
  if (object.storageClass === 'GLACIER' || object.storageClass === 'DEEP_ARCHIVE') {
    return sendError(response, 403, 'InvalidObjectState', "The operation is not valid for the object's storage class");
  }
  if (object.customerKeyMd5 !== undefined) {
    const key = Buffer.from(String(asked.headers['x-amz-server-side-encryption-customer-key'] ?? ''), 'base64');
    const stated = asked.headers['x-amz-server-side-encryption-customer-key-md5'];
    const right =
      createHash('md5').update(key).digest('base64') === object.customerKeyMd5 && stated === object.customerKeyMd5;
    if (!right)
      return sendError(
        response,
        400,
        'InvalidRequest',
        'The object was stored using a form of Server Side Encryption.',
      );
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(asked.headers.range ?? '');
  if (range && Number(range[1]) >= object.body.length)
    return sendError(response, 416, 'InvalidRange', 'The requested range is not satisfiable');
  const start = range ? Number(range[1]) : 0;
  const end = range?.[2] ? Math.min(Number(range[2]) + 1, object.body.length) : object.body.length;
  const body = faultyBody(object.body.subarray(start, end), fault);
  const stated = asked.headers['x-amz-checksum-mode'] === 'ENABLED' && !range ? object.headers : {};
  response.writeHead(range ? 206 : 200, {
    'content-type': object.contentType,
    'content-length': body.length,
    etag: object.etag,
    'last-modified': new Date(object.modifiedAt).toUTCString(),
    ...(range ? { 'content-range': `bytes ${start}-${end - 1}/${object.body.length}` } : {}),
    ...stated,
  });
  sendBody(response, body, fault);
}

function sendError(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/xml', 'x-amz-request-id': 'TESTREQUEST01', ...headers });
  response.end(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>TESTREQUEST01</RequestId></Error>`,
  );
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
