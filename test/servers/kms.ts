import type { IncomingMessage, ServerResponse } from 'node:http';
import { opened, sealed } from './aead.ts';
import { LoopbackServer } from './loopback.ts';
import { type KeyPair, verifySigV4 } from './sigv4.ts';

/**
 * AWS KMS for tests: Encrypt and Decrypt over JSON 1.1, signed with SigV4, bound to the encryption context.
 * https://docs.aws.amazon.com/kms/latest/APIReference/
 */
export class KmsServer extends LoopbackServer {
  readonly keys = new Map<string, KeyPair>();
  /** Wrapping keys by their IDs. */
  readonly wrapping = new Map<string, Buffer>();
  /** Access keys that may only do these. */
  readonly permitted = new Map<string, readonly string[]>();
  away = false;

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    if (this.away) return refuse(response, 'KMSInternalException', 500);
    const verdict = verifySigV4(request, 'kms', this.keys, Date.now(), body);
    if (!verdict.ok) return refuse(response, 'UnrecognizedClientException');
    const operation = /^TrentService\.(\w+)$/.exec(String(request.headers['x-amz-target']))?.[1] ?? '';
    if (this.permitted.get(verdict.accessKeyId)?.includes(operation) === false)
      return refuse(response, 'AccessDeniedException');
    const { KeyId, Plaintext, CiphertextBlob, EncryptionContext } = JSON.parse(body.toString());
    const key = this.wrapping.get(KeyId);
    if (!key) return refuse(response, 'NotFoundException');
    const context = Buffer.from(JSON.stringify(EncryptionContext ?? {}));
    if (operation === 'Encrypt') {
      const blob = sealed(key, Buffer.from(Plaintext, 'base64'), context);
      return answer(response, { KeyId, CiphertextBlob: blob.toString('base64') });
    }
    const blob = Buffer.from(CiphertextBlob, 'base64');
    try {
      const plain = opened(key, blob, context);
      answer(response, { KeyId, Plaintext: plain.toString('base64') });
    } catch {
      refuse(response, 'InvalidCiphertextException');
    }
  }
}

function answer(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, code: string, status = 400): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify({ __type: code }));
}
