import type { S3Client } from '@aws-sdk/client-s3';
import type { Secret } from '../../src/contract/secret.ts';
import type { S3Credential } from './credential.ts';

/** What a sync has no use for, in words, each on the bucket or on what is in it. */
const MORE: readonly (readonly [action: string, on: 'bucket' | 'objects', words: string])[] = [
  ['s3:PutObject', 'objects', 'write objects'],
  ['s3:DeleteObject', 'objects', 'delete objects'],
  ['s3:PutObjectAcl', 'objects', "change objects' permissions"],
  ['s3:PutBucketPolicy', 'bucket', "change the bucket's policy"],
  ['s3:PutBucketAcl', 'bucket', "change the bucket's permissions"],
  ['s3:DeleteBucket', 'bucket', 'delete the bucket'],
];

/** What talks to STS and IAM: made by whoever knows how requests leave this process. */
export type HandlerFor = (endpoint: string | undefined) => object;

/**
 * What the credential may do beyond its task, as IAM simulates it for whoever may ask (iam:SimulatePrincipalPolicy); for the others
 * nothing is said. Only at Amazon itself: elsewhere there is no IAM to ask, unless the credential names one.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
 */
export async function rightsWarnings(
  s3: S3Client,
  credential: Secret<S3Credential>,
  bucket: string,
  handlerFor: HandlerFor,
  signal: AbortSignal,
): Promise<string[]> {
  const { endpoint, iam_endpoint, sts_endpoint, auth } = credential.reveal();
  const isElsewhere = endpoint !== undefined && !(iam_endpoint && sts_endpoint);
  if (auth === 'anonymous' || isElsewhere || bucket.startsWith('arn:')) return [];
  const region = await s3.config.region();
  const settingsFor = (own: string | undefined) => ({
    region,
    credentials: s3.config.credentials,
    maxAttempts: 1,
    requestHandler: handlerFor(own),
    ...(own ? { endpoint: own } : {}),
  });
  try {
    const who = await callerOf(settingsFor(sts_endpoint), signal);
    if (/:root$/.test(who))
      return ['The key is that of the whole account, which may do everything. Use that of a user who may read only.'];
    const found = await simulated(settingsFor(iam_endpoint), who, bucket, signal);
    if (found.length === 0) return [];
    return [`The credential may also ${found.join(', ')}. A sync needs s3:ListBucket and s3:GetObject only.`];
  } catch {
    signal.throwIfAborted();
    return [];
  }
}

async function callerOf(settings: object, abortSignal: AbortSignal): Promise<string> {
  const { GetCallerIdentityCommand, STSClient } = await import('@aws-sdk/client-sts');
  const sts = new STSClient(settings);
  try {
    const { Arn = '' } = await sts.send(new GetCallerIdentityCommand({}), { abortSignal });
    return Arn;
  } finally {
    sts.destroy();
  }
}

async function simulated(settings: object, who: string, bucket: string, abortSignal: AbortSignal): Promise<string[]> {
  const { IAMClient, SimulatePrincipalPolicyCommand } = await import('@aws-sdk/client-iam');
  const iam = new IAMClient(settings);
  const partition = /^arn:([a-z-]+):/.exec(who)?.[1] ?? 'aws';
  const allowed = new Set<string | undefined>();
  try {
    for (const on of ['bucket', 'objects'] as const) {
      const command = new SimulatePrincipalPolicyCommand({
        PolicySourceArn: principalOf(who),
        ActionNames: MORE.filter(([, each]) => each === on).map(([action]) => action),
        ResourceArns: [`arn:${partition}:s3:::${bucket}${on === 'objects' ? '/*' : ''}`],
      });
      const { EvaluationResults = [] } = await iam.send(command, { abortSignal });
      for (const { EvalActionName, EvalDecision } of EvaluationResults)
        if (EvalDecision === 'allowed') allowed.add(EvalActionName);
    }
  } finally {
    iam.destroy();
  }
  return MORE.filter(([action]) => allowed.has(action)).map(([, , words]) => words);
}

/** Whose policies count: of a session of a role, the role's. */
function principalOf(who: string): string {
  const [, partition, account, role] = /^arn:([a-z-]+):sts::(\d{12}):assumed-role\/([^/]+)\//.exec(who) ?? [];
  return role ? `arn:${partition}:iam::${account}:role/${role}` : who;
}
