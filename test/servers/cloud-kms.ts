import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { opened, sealed } from './aead.ts';
import { crc32c } from './crc32c.ts';
import type { GcsServer } from './gcs.ts';
import { LoopbackServer } from './loopback.ts';

type Operation = 'encrypt' | 'decrypt';

interface Version {
  readonly key: Buffer;
  enabled: boolean;
}

/**
 * Google Cloud KMS for tests: encrypt and decrypt with symmetric keys, which have versions; bound to associated data; with checksums both ways. Tokens are
 * those that a token server gave out. https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys
 */
export class CloudKmsServer extends LoopbackServer {
  /** Versions by the name of the key, the newest last. */
  readonly keys = new Map<string, Version[]>();
  /** Accounts that may only do these. */
  readonly permitted = new Map<string, readonly Operation[]>();
  /** How many requests fail, and what of an answer is damaged on its way. */
  away = 0;
  damaged: 'ciphertext' | 'plaintext' | 'verified' | null = null;
  readonly #tokens: GcsServer;

  constructor(tokens: GcsServer) {
    super();
    this.#tokens = tokens;
  }

  rotate(name: string): void {
    this.keys.set(name, [...(this.keys.get(name) ?? []), { key: randomBytes(32), enabled: true }]);
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString() || '{}');
    const [, name = '', operation] = /^\/v1\/(.+):(encrypt|decrypt)$/.exec(request.url ?? '') ?? [];
    const token = this.#tokens.tokens.get(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '');
    if (!token || !/cloud-platform|cloudkms/.test(token.scope)) return refuse(response, 401, 'UNAUTHENTICATED');
    if (this.away > 0) {
      this.away--;
      return refuse(response, 503, 'UNAVAILABLE');
    }
    if (this.permitted.get(token.account)?.includes(operation as Operation) === false)
      return refuse(response, 403, 'PERMISSION_DENIED');
    const versions = this.keys.get(name);
    if (!versions) return refuse(response, 404, 'NOT_FOUND');
    const bytesOf = (field: string) => Buffer.from(body[field] ?? '', 'base64');
    for (const field of ['plaintext', 'ciphertext', 'additionalAuthenticatedData']) {
      const stated = body[`${field}Crc32c`];
      if (stated !== undefined && stated !== String(crc32c(bytesOf(field)).readUInt32BE()))
        return refuse(response, 400, 'INVALID_ARGUMENT');
    }
    const aad = bytesOf('additionalAuthenticatedData');
    if (operation === 'encrypt') this.#encrypt(name, versions, bytesOf('plaintext'), aad, body, response);
    else this.#decrypt(versions, bytesOf('ciphertext'), aad, response);
  }

  #encrypt(
    name: string,
    versions: readonly Version[],
    plain: Buffer,
    aad: Buffer,
    stated: object,
    response: ServerResponse,
  ): void {
    const version = versions.at(-1) as Version;
    if (!version.enabled) return refuse(response, 400, 'FAILED_PRECONDITION');
    const ciphertext = Buffer.concat([Buffer.from([versions.length]), sealed(version.key, plain, aad)]);
    const verified = (field: string) => `${field}Crc32c` in stated && this.damaged !== 'verified';
    send(response, 200, {
      name: `${name}/cryptoKeyVersions/${versions.length}`,
      ...this.#sent('ciphertext', ciphertext),
      verifiedPlaintextCrc32c: verified('plaintext'),
      verifiedAdditionalAuthenticatedDataCrc32c: verified('additionalAuthenticatedData'),
      protectionLevel: 'SOFTWARE',
    });
  }

  #decrypt(versions: readonly Version[], blob: Buffer, aad: Buffer, response: ServerResponse): void {
    const version = versions[(blob[0] ?? 0) - 1];
    if (!version) return refuse(response, 400, 'INVALID_ARGUMENT');
    if (!version.enabled) return refuse(response, 400, 'FAILED_PRECONDITION');
    try {
      const plain = opened(version.key, blob.subarray(1), aad);
      send(response, 200, { ...this.#sent('plaintext', plain), usedPrimary: version === versions.at(-1) });
    } catch {
      refuse(response, 400, 'INVALID_ARGUMENT');
    }
  }

  #sent(field: 'ciphertext' | 'plaintext', bytes: Buffer): object {
    const sum = String(crc32c(bytes).readUInt32BE());
    const arrives = Buffer.from(bytes);
    if (this.damaged === field) arrives[0] = (arrives[0] ?? 0) ^ 1;
    return { [field]: arrives.toString('base64'), [`${field}Crc32c`]: sum };
  }
}

function refuse(response: ServerResponse, code: number, status: string): void {
  send(response, code, { error: { code, message: `refused ${status}`, status } });
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
