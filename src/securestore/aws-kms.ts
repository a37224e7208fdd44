import { DecryptCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import type { LockgateError } from '../contract/errors.ts';
import { optionsOf } from '../secrets/aws/options.ts';
import { type KeyEncryptionKey, refused, tampered, unavailable } from './seal.ts';

interface AwsKey {
  readonly keyId: string;
  readonly region: string;
  readonly endpoint: string | null;
}

/** By the machine's own identity. https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html */
export function awsKey({ keyId, region, endpoint }: AwsKey): KeyEncryptionKey {
  const client = new KMSClient(optionsOf({ region, endpoint }));
  const asked = async (work: Promise<Uint8Array | undefined>, what: string): Promise<Buffer> => {
    try {
      return Buffer.from((await work) as Uint8Array);
    } catch (error) {
      throw errorFor(error, what);
    }
  };
  return {
    id: `aws-kms:${keyId}`,
    wrap: (Plaintext, context) =>
      asked(
        client
          .send(new EncryptCommand({ KeyId: keyId, Plaintext, EncryptionContext: { lockgate: context } }))
          .then(({ CiphertextBlob }) => CiphertextBlob),
        'kms:Encrypt',
      ),
    unwrap: (CiphertextBlob, context) =>
      asked(
        client
          .send(new DecryptCommand({ KeyId: keyId, CiphertextBlob, EncryptionContext: { lockgate: context } }))
          .then(({ Plaintext }) => Plaintext),
        'kms:Decrypt',
      ),
  };
}

/** Of the SDK's error only its name is looked at. */
function errorFor(error: unknown, what: string): LockgateError {
  const { name } = error as { name?: string };
  if (name === 'InvalidCiphertextException' || name === 'IncorrectKeyException') return tampered();
  if (
    /^(AccessDenied|InvalidIdentityToken|NotFound|Disabled|InvalidKeyUsage|KMSInvalidState|UnrecognizedClient|InvalidSignature)/.test(
      name ?? '',
    )
  )
    return refused(what);
  return unavailable('AWS KMS');
}
