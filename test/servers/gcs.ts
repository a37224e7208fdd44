import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, verify } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { crc32c } from './crc32c.ts';
import { type Fault, faultyBody, sendBody } from './fault.ts';
import { LoopbackServer } from './loopback.ts';

/**
 * A Cloud Storage server for tests: the JSON API's listing and media download, and a token endpoint that checks the
 * signature, the audience, the scope and the times of the assertion.
 * https://cloud.google.com/storage/docs/json_api/v1 and https://developers.google.com/identity/protocols/oauth2/service-account
 */
export interface GcsObject {
  readonly body: Buffer;
  readonly generation: string;
  readonly updated: string;
  readonly contentType: string;
  readonly contentEncoding?: string;
  /** Composite objects state no MD5. */
  readonly composite: boolean;
}

export interface GcsRequest {
  readonly operation: 'token' | 'list' | 'read';
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
}

const SCOPES = ['devstorage.read_only', 'devstorage.read_write', 'devstorage.full_control', 'cloud-platform'].map(
  (name) => `https://www.googleapis.com/auth/${name}`,
);

export class GcsServer extends LoopbackServer {
  readonly buckets = new Map<string, Map<string, GcsObject>>();
  /** Service accounts by their address. */
  readonly accounts = new Map<string, KeyObject>();
  /** Addresses that may only do these. */
  readonly permitted = new Map<string, readonly GcsRequest['operation'][]>();
  /** What accounts may do beside reading and listing, in Google's words. */
  readonly granted = new Map<string, readonly string[]>();
  /** Buckets whose requesters pay, and for which project. */
  readonly requesterPays = new Set<string>();
  readonly tokens = new Map<string, { readonly account: string; readonly until: number; readonly scope: string }>();
  /** Tokens of other parties, and whom each stands for when it is exchanged. */
  readonly subjects = new Map<string, string>();
  /** Who may take whose place: `who account`. */
  readonly impersonators = new Set<string>();
  tokenSeconds = 3600;
  pageSize = 1000;
  fault: (request: GcsRequest) => Fault | undefined = () => undefined;
  #generation = 1_700_000_000_000_000n;

  /** Makes a service account, and its key file as Google's console gives it out. */
  createKeyFile(name: string): Record<string, string> {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const client_email = `${name}@fake-project.iam.gserviceaccount.com`;
    this.accounts.set(client_email, createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })));
    return {
      type: 'service_account',
      project_id: 'fake-project',
      private_key_id: createHash('sha1').update(client_email).digest('hex'),
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      client_email,
      client_id: '100000000000000000000',
      auth_uri: 'https://accounts.google.com/o/oauth2/auth',
      token_uri: `${this.endpoint}/token`,
      auth_provider_x509_cert_url: 'https://www.googleapis.com/oauth2/v1/certs',
      client_x509_cert_url: `https://www.googleapis.com/robot/v1/metadata/x509/${encodeURIComponent(client_email)}`,
      universe_domain: 'googleapis.com',
    };
  }

  put(bucket: string, key: string, body: Buffer | string, more: Partial<GcsObject> = {}): void {
    const objects = this.buckets.get(bucket) ?? new Map<string, GcsObject>();
    this.buckets.set(bucket, objects);
    const generation = String(++this.#generation);
    const contentType = 'application/octet-stream';
    objects.set(key, {
      body: Buffer.from(body),
      generation,
      updated: new Date().toISOString(),
      contentType,
      composite: false,
      ...more,
    });
  }

  delete(bucket: string, key: string): void {
    this.buckets.get(bucket)?.delete(key);
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const found = /^(?:\/upload)?\/storage\/v1\/b\/([^/]+)\/(?:o|iam)(?:\/([^/]+))?$/.exec(url.pathname);
    const operation = /\/token$|:generateAccessToken$/.test(url.pathname)
      ? 'token'
      : found?.[2] === undefined
        ? 'list'
        : 'read';
    const asked: GcsRequest = {
      operation,
      bucket: decodeURIComponent(found?.[1] ?? ''),
      key: decodeURIComponent(found?.[2] ?? ''),
      query: url.searchParams,
    };
    const fault = this.fault(asked);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === 'error')
      return sendError(response, fault.status, fault.message ?? fault.code, fault.headers, fault.code);
    if (url.pathname === '/v1/token') return this.#exchange(request, response);
    if (url.pathname.startsWith('/computeMetadata/')) return this.#metadata(request, response);
    if (url.pathname.endsWith(':generateAccessToken')) return this.#impersonate(url, request, response);
    if (operation === 'token') return this.#token(request, response);
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const token = this.tokens.get(bearer);
    if (!token || token.until <= Date.now() || !SCOPES.includes(token.scope))
      return sendError(response, 401, 'Invalid Credentials');
    const may = this.permitted.get(token.account);
    if (may && !may.includes(operation))
      return sendError(response, 403, `${token.account} does not have storage.objects access`);
    const objects = this.buckets.get(asked.bucket);
    if (!objects) return sendError(response, 404, 'The specified bucket does not exist.');
    if (this.requesterPays.has(asked.bucket) && !asked.query.get('userProject')) {
      return sendError(response, 400, 'Bucket is a requester pays bucket but no user project provided.');
    }
    if (url.pathname.endsWith('/iam/testPermissions')) {
      const granted = this.granted.get(token.account) ?? [];
      const permissions = url.searchParams.getAll('permissions').filter((each) => granted.includes(each));
      return sendJson(response, 200, {
        kind: 'storage#testIamPermissionsResponse',
        ...(permissions.length > 0 ? { permissions } : {}),
      });
    }
    if (request.method === 'POST') return this.#upload(request, url.searchParams, objects, response);
    if (request.method === 'DELETE') {
      const there = objects.delete(asked.key);
      return there ? void response.writeHead(204).end() : sendError(response, 404, 'No such object');
    }
    if (operation === 'list') return this.#list(asked, objects, response);
    sendObject(asked, objects, request, response, fault);
  }

  /** An upload of one request with its metadata: https://cloud.google.com/storage/docs/uploading-objects#multipart */
  async #upload(
    request: IncomingMessage,
    query: URLSearchParams,
    objects: Map<string, GcsObject>,
    response: ServerResponse,
  ): Promise<void> {
    const bytes = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    const boundary = /boundary="?([^";]+)/.exec(request.headers['content-type'] ?? '')?.[1] ?? '';
    const text = bytes.toString('latin1');
    const metadataAt = text.indexOf('\r\n\r\n') + 4;
    const metadataEnd = text.indexOf(`\r\n--${boundary}`, metadataAt);
    const bodyAt = text.indexOf('\r\n\r\n', metadataEnd) + 4;
    const body = bytes.subarray(bodyAt, text.lastIndexOf(`\r\n--${boundary}--`));
    const metadata = JSON.parse(bytes.subarray(metadataAt, metadataEnd).toString()) as {
      name?: string;
      crc32c?: string;
    };
    const name = query.get('name') ?? metadata.name ?? '';
    if (query.get('ifGenerationMatch') === '0' && objects.has(name)) return sendError(response, 412, 'conditionNotMet');
    const checksum = crc32c(body).toString('base64');
    if (metadata.crc32c && metadata.crc32c !== checksum)
      return sendError(response, 400, 'Provided CRC32C does not match');
    const bucket = [...this.buckets].find(([, each]) => each === objects)?.[0] ?? '';
    this.put(bucket, name, body);
    const { generation, updated } = objects.get(name) as GcsObject;
    const md5Hash = createHash('md5').update(body).digest('base64');
    sendJson(response, 200, {
      name,
      bucket,
      generation,
      updated,
      size: String(body.length),
      crc32c: checksum,
      md5Hash,
    });
  }

  async #token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const refuse = (description: string) =>
      sendJson(response, 400, { error: 'invalid_grant', error_description: description });
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return refuse('grant type');
    const [header = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.');
    const parse = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString() || '{}');
    const { iss, aud, exp, iat, scope } = parse(claims);
    const key = this.accounts.get(iss);
    const signed =
      key &&
      parse(header).alg === 'RS256' &&
      verify('RSA-SHA256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'));
    if (!signed) return refuse('Invalid JWT Signature.');
    const now = Date.now() / 1000;
    if (aud !== `${this.endpoint}/token`) return refuse('Invalid JWT: audience');
    if (!(iat <= now + 300 && exp > now && exp - iat <= 3600)) return refuse('Invalid JWT: times');
    if (
      !String(scope)
        .split(' ')
        .some((each) => SCOPES.includes(each))
    )
      return refuse('Invalid JWT: scope');
    sendJson(response, 200, {
      access_token: this.#issue(iss, scope),
      expires_in: this.tokenSeconds,
      token_type: 'Bearer',
    });
  }

  #issue(account: string, scope: string): string {
    const token = `ya29.fake-${randomUUID()}`;
    this.tokens.set(token, { account, until: Date.now() + this.tokenSeconds * 1000, scope });
    return token;
  }

  /** https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token */
  async #exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString());
    const principal = this.subjects.get(form.get('subject_token') ?? '');
    const right = form.get('grant_type') === 'urn:ietf:params:oauth:grant-type:token-exchange' && form.get('audience');
    if (!right || !principal)
      return sendJson(response, 400, {
        error: 'invalid_grant',
        error_description: 'The given credential is rejected.',
      });
    const access_token = this.#issue(principal, form.get('scope') ?? '');
    sendJson(response, 200, {
      access_token,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      expires_in: this.tokenSeconds,
      token_type: 'Bearer',
    });
  }

  async #impersonate(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString() || '{}');
    const account = decodeURIComponent(/serviceAccounts\/([^/]+):/.exec(url.pathname)?.[1] ?? '');
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const token = this.tokens.get(bearer);
    if (!token || !/cloud-platform|auth\/iam$/.test(token.scope))
      return sendError(response, 401, 'Invalid Credentials');
    if (!this.impersonators.has(`${token.account} ${account}`))
      return sendError(response, 403, 'Permission iam.serviceAccounts.getAccessToken denied');
    const expireTime = new Date(Date.now() + this.tokenSeconds * 1000).toISOString();
    sendJson(response, 200, { accessToken: this.#issue(account, String(body.scope?.[0])), expireTime });
  }

  /** https://cloud.google.com/compute/docs/metadata/overview */
  #metadata(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader('metadata-flavor', 'Google');
    const path = (request.url ?? '').split('?')[0] ?? '';
    if (request.headers['metadata-flavor'] !== 'Google') return void response.writeHead(403).end();
    if (path.endsWith('/token')) {
      return sendJson(response, 200, {
        access_token: this.#issue('the machine', SCOPES[0] as string),
        expires_in: this.tokenSeconds,
        token_type: 'Bearer',
      });
    }
    response
      .writeHead(200, { 'content-type': 'application/text' })
      .end(path.endsWith('/universe-domain') ? 'googleapis.com' : 'fake-project');
  }

  #list({ query }: GcsRequest, objects: Map<string, GcsObject>, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const pageToken = query.get('pageToken');
    if (pageToken !== null && !pageToken.startsWith('next-')) return sendError(response, 400, 'Invalid argument.');
    const after = pageToken ? Buffer.from(pageToken.slice(5), 'base64url') : null;
    const offset = Buffer.from(query.get('startOffset') ?? '');
    const names = [...objects.keys()]
      .map((key) => Buffer.from(key))
      .filter(
        (key) =>
          key.toString().startsWith(prefix) &&
          Buffer.compare(key, offset) >= 0 &&
          (!after || Buffer.compare(key, after) > 0),
      )
      .sort(Buffer.compare)
      .map(String);
    const size = Math.min(this.pageSize, Number(query.get('maxResults') ?? 1000));
    const items = names.slice(0, size).map((name) => {
      const { generation, body, updated } = objects.get(name) as GcsObject;
      return { name, generation, size: String(body.length), updated };
    });
    const more =
      names.length > size
        ? { nextPageToken: `next-${Buffer.from(names[size - 1] as string).toString('base64url')}` }
        : {};
    // As Google does: without objects there is no `items` at all.
    sendJson(response, 200, { ...(items.length > 0 ? { items } : {}), ...more });
  }
}

function sendObject(
  asked: GcsRequest,
  objects: Map<string, GcsObject>,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
): void {
  const object = objects.get(asked.key);
  if (!object) return sendError(response, 404, `No such object: ${asked.bucket}/${asked.key}`);
  const condition = asked.query.get('ifGenerationMatch');
  if (condition !== null && condition !== object.generation) return sendError(response, 412, 'conditionNotMet');
  if (asked.query.get('alt') !== 'media') {
    const { generation, body, updated } = object;
    return sendJson(response, 200, { name: asked.key, generation, size: String(body.length), updated });
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  if (range && Number(range[1]) >= object.body.length) return sendError(response, 416, 'range');
  const start = range ? Number(range[1]) : 0;
  const end = range?.[2] ? Math.min(Number(range[2]) + 1, object.body.length) : object.body.length;
  const body = faultyBody(object.body.subarray(start, end), fault);
  const hashes = [`crc32c=${crc32c(object.body).toString('base64')}`];
  if (!object.composite) hashes.push(`md5=${createHash('md5').update(object.body).digest('base64')}`);
  response.writeHead(range ? 206 : 200, {
    'content-type': object.contentType,
    'content-length': body.length,
    'x-goog-generation': object.generation,
    'x-goog-hash': hashes.join(','),
    'x-goog-stored-content-encoding': object.contentEncoding ?? 'identity',
    ...(object.contentEncoding ? { 'content-encoding': object.contentEncoding } : {}),
    ...(range ? { 'content-range': `bytes ${start}-${end - 1}/${object.body.length}` } : {}),
  });
  sendBody(response, body, fault);
}

function sendError(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Record<string, string> = {},
  reason = 'test',
): void {
  sendJson(
    response,
    status,
    { error: { code: status, message, errors: [{ message, domain: 'global', reason }] } },
    headers,
  );
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
  response.end(JSON.stringify(body));
}
