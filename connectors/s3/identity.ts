import type { Runtime } from '../../src/contract/connector.ts';
import { type ErrorRule, errorBy, rulesByWord } from '../../src/contract/error-rules.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Secret } from '../../src/contract/secret.ts';
import type { S3Credential } from './credential.ts';
import { NO_IDENTITY } from './errors.ts';

const SESSION_SECONDS = 3600;

interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** The SDK asks anew some minutes before. */
  readonly expiration?: Date;
}

/** The SDK's form of a way to get keys: asked when the first request is signed, and again before they expire. */
type Provider = () => Promise<Keys>;

/** Throws `ambient_refused` unless the deployment lends out what the machine is. */
export function assertAmbient(runtime: Runtime): void {
  if (runtime.ambient) return;
  throw new ConnectorError('ambient_refused', "The credential asks for the machine's own AWS identity.", {
    operation: 'open',
    retryable: false,
    hint: 'If this deployment means to lend it out, set LOCKGATE_AMBIENT_CREDENTIALS=on.',
  });
}

/** Keys, or who gives them out; null: the SDK's default provider chain. `requestHandler` is for requests to STS. */
export function identityOf(
  credential: Secret<S3Credential>,
  region: string,
  requestHandler: object,
): Keys | Provider | null {
  const { auth, access_key_id, secret_access_key, session_token, role_arn } = credential.reveal();
  if (auth === 'anonymous') return { accessKeyId: '', secretAccessKey: '' };
  if (auth === 'web_identity') return webIdentity(credential, region, requestHandler);
  const keys =
    access_key_id && secret_access_key
      ? {
          accessKeyId: access_key_id,
          secretAccessKey: secret_access_key,
          ...(session_token ? { sessionToken: session_token } : {}),
        }
      : null;
  return role_arn ? assumedRole(credential, keys, region, requestHandler) : keys;
}

/** The token file and, unless the credential names one, the role come from the environment, as EKS sets them. */
function webIdentity(credential: Secret<S3Credential>, region: string, requestHandler: object): Provider {
  return async () => {
    const { fromTokenFile } = await import('@aws-sdk/credential-provider-web-identity');
    const { role_arn, session_name, sts_endpoint } = credential.reveal();
    const clientConfig = {
      region,
      maxAttempts: 1,
      requestHandler,
      ...(sts_endpoint ? { endpoint: sts_endpoint } : {}),
    };
    try {
      return await fromTokenFile({
        ...(role_arn ? { roleArn: role_arn } : {}),
        roleSessionName: session_name,
        clientConfig,
      })();
    } catch (error) {
      throw toRoleError(error);
    }
  };
}

/**
 * The temporary keys of a role, on top of keys or of the default provider chain.
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 */
function assumedRole(
  credential: Secret<S3Credential>,
  keys: Keys | null,
  region: string,
  requestHandler: object,
): Provider {
  return async () => {
    const { AssumeRoleCommand, STSClient } = await import('@aws-sdk/client-sts');
    const { role_arn, external_id, session_name, sts_endpoint } = credential.reveal();
    const sts = new STSClient({
      region,
      ...(keys ? { credentials: keys } : {}),
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

/** STS answers a key that is wrong, a role that is not there and a trust policy that forbids with 4xx, and with 400 as well who asks too often. */
function toRoleError(error: unknown): ConnectorError {
  const { name, $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode;
  if (name === 'CredentialsProviderError') return errorBy(NO_IDENTITY, 'open');
  const rule = BY_NAME.get(name ?? '');
  if (rule) return errorBy(rule, 'open', { status });
  const refused = status !== undefined && status >= 400 && status < 500 && status !== 429;
  return errorBy(refused ? REFUSED : AWAY, 'open', { status });
}

const AWAY: ErrorRule = ['unavailable', true, 'AWS STS did not answer as it should.'];
const THROTTLED: ErrorRule = ['throttled', true, 'AWS STS asks for fewer requests.'];
/** These have the status 400, too: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html */
const BY_NAME = rulesByWord({
  Throttling: THROTTLED,
  ThrottlingException: THROTTLED,
  RequestLimitExceeded: THROTTLED,
  IDPCommunicationError: AWAY,
  IDPCommunicationErrorException: AWAY,
});
const REFUSED: ErrorRule = [
  'credential_rejected',
  false,
  'The role of the credential cannot be assumed.',
  "Check role_arn and external_id, that the role's trust policy names who assumes it, and that it may sts:AssumeRole.",
];
