import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Secret } from '../../src/contract/secret.ts';
import type { S3Credential } from './credential.ts';

const SESSION_SECONDS = 3600;

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** The SDK asks anew some minutes before. */
  readonly expiration?: Date;
}

/**
 * A provider of the role's temporary keys, in the SDK's form: asked when the first request is signed, and again before
 * they expire. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 */
export function assumedRole(
  credential: Secret<S3Credential>,
  keys: Keys,
  region: string,
  requestHandler: object,
): () => Promise<Keys> {
  return async () => {
    const { role_arn, external_id, session_name, sts_endpoint } = credential.reveal();
    const sts = new STSClient({
      region,
      credentials: keys,
      ...(sts_endpoint ? { endpoint: sts_endpoint } : {}),
      maxAttempts: 1,
      requestHandler,
    });
    try {
      const { Credentials: given } = await sts.send(
        new AssumeRoleCommand({
          RoleArn: role_arn,
          RoleSessionName: session_name,
          DurationSeconds: SESSION_SECONDS,
          ...(external_id ? { ExternalId: external_id } : {}),
        }),
      );
      if (!given?.AccessKeyId || !given.SecretAccessKey || !given.SessionToken) throw new Error('no keys');
      return {
        accessKeyId: given.AccessKeyId,
        secretAccessKey: given.SecretAccessKey,
        sessionToken: given.SessionToken,
        ...(given.Expiration ? { expiration: given.Expiration } : {}),
      };
    } catch (error) {
      throw toRoleError(error);
    }
  };
}

/** STS answers a key that is wrong, a role that is not there and a trust policy that forbids with 4xx. */
function toRoleError(error: unknown): ConnectorError {
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  const refused = status !== undefined && status >= 400 && status < 500 && status !== 429;
  if (!refused) {
    return new ConnectorError('unavailable', 'AWS STS did not answer as it should.', {
      operation: 'open',
      retryable: true,
    });
  }
  return new ConnectorError('credential_rejected', 'The role of the credential cannot be assumed.', {
    operation: 'open',
    retryable: false,
    status,
    hint: "Check role_arn and external_id, that the role's trust policy names the key's user, and that the user may sts:AssumeRole.",
  });
}
