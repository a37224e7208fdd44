import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
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
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
      cipher.setAAD(context);
      const data = Buffer.concat([cipher.update(Buffer.from(Plaintext, 'base64')), cipher.final()]);
      return answer(response, {
        KeyId,
        CiphertextBlob: Buffer.concat([iv, cipher.getAuthTag(), data]).toString('base64'),
      });
    }
    const blob = Buffer.from(CiphertextBlob, 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(context);
      decipher.setAuthTag(blob.subarray(12, 28));
      const plain = Buffer.concat([decipher.update(blob.subarray(28)), decipher.final()]);
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
