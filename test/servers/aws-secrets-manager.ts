import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from './fault.ts';
import { LoopbackServer } from './loopback.ts';
import { type KeyPair, verifySigV4 } from './sigv4.ts';

interface StoredSecret {
  readonly name: string;
  tags: { Key: string; Value: string }[];
  readonly kmsKeyId: string | undefined;
  readonly versions: { readonly id: string; readonly value: string; readonly createdAt: number }[];
  deletedAt: number | null;
}

type Request = Readonly<Record<string, unknown>>;

/**
 * AWS Secrets Manager for tests: JSON 1.1, signed with SigV4. It lists by the beginning of names whatever their tags are,
 * keeps what is deleted for a while, and stages versions. https://docs.aws.amazon.com/secretsmanager/latest/apireference/
 */
export class AwsSecretsManagerServer extends LoopbackServer {
  readonly secrets = new Map<string, StoredSecret>();
  readonly keys = new Map<string, KeyPair>();
  /** Access keys that may only do these. */
  readonly permitted = new Map<string, readonly string[]>();
  readonly counts = new Map<string, number>();
  fault: (operation: string) => Fault | undefined = () => undefined;
  #clock = Date.now();

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    const operation = /^secretsmanager\.(\w+)$/.exec(String(request.headers['x-amz-target']))?.[1] ?? '';
    this.counts.set(operation, (this.counts.get(operation) ?? 0) + 1);
    const fault = this.fault(operation);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'error') return refuse(response, fault.code, fault.message, fault.status);
    const verdict = verifySigV4(request, 'secretsmanager', this.keys, Date.now(), body);
    if (!verdict.ok)
      return refuse(
        response,
        verdict.code === 'InvalidAccessKeyId' ? 'UnrecognizedClientException' : 'InvalidSignatureException',
      );
    if (this.permitted.get(verdict.accessKeyId)?.includes(operation) === false)
      return refuse(response, 'AccessDeniedException');
    const answer = this.#answer(operation, JSON.parse(body.toString() || '{}'));
    if (typeof answer === 'string') return refuse(response, answer.split(':')[0] as string, answer);
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify(answer));
  }

  /** The answer, or the name of the error with its message. */
  #answer(operation: string, asked: Request): object | string {
    if (operation === 'ListSecrets') return this.#list(asked);
    if (operation === 'CreateSecret') return this.#create(asked);
    const secret = this.secrets.get(String(asked.SecretId));
    if (!secret) return "ResourceNotFoundException: Secrets Manager can't find the specified secret.";
    const base = {
      ARN: `arn:aws:secretsmanager:us-east-1:123456789012:secret:${secret.name}-AbCdEf`,
      Name: secret.name,
    };
    if (operation === 'DescribeSecret') {
      return { ...base, Tags: secret.tags, ...(secret.deletedAt ? { DeletedDate: secret.deletedAt / 1000 } : {}) };
    }
    if (operation === 'RestoreSecret') {
      secret.deletedAt = null;
      return base;
    }
    if (secret.deletedAt)
      return "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.";
    if (operation === 'TagResource') {
      const tags = asked.Tags as { Key: string; Value: string }[];
      if (tags.some(({ Value }) => !/^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u.test(Value)))
        return 'InvalidParameterException: tag';
      secret.tags = [...secret.tags.filter(({ Key }) => !tags.some((tag) => tag.Key === Key)), ...tags];
      return {};
    }
    if (operation === 'UntagResource') {
      secret.tags = secret.tags.filter(({ Key }) => !(asked.TagKeys as string[]).includes(Key));
      return {};
    }
    if (operation === 'DeleteSecret') {
      secret.deletedAt = Date.now();
      return base;
    }
    if (operation === 'PutSecretValue') return { ...base, VersionId: this.#addVersion(secret, asked) };
    if (operation === 'ListSecretVersionIds') {
      const all = secret.versions.map(({ id, createdAt }, i) => ({
        VersionId: id,
        CreatedDate: createdAt / 1000,
        VersionStages: i === secret.versions.length - 1 ? ['AWSCURRENT'] : [],
      }));
      return {
        ...base,
        Versions: asked.IncludeDeprecated ? all : all.filter(({ VersionStages }) => VersionStages.length > 0),
      };
    }
    if (operation !== 'GetSecretValue') return 'InvalidParameterException: operation';
    const version = asked.VersionId ? secret.versions.find(({ id }) => id === asked.VersionId) : secret.versions.at(-1);
    if (!version)
      return "ResourceNotFoundException: Secrets Manager can't find the specified secret value for VersionId.";
    return { ...base, VersionId: version.id, SecretString: version.value, CreatedDate: version.createdAt / 1000 };
  }

  #create(asked: Request): object | string {
    const name = String(asked.Name);
    if (!/^[\w/+=.@-]{1,512}$/.test(name) || /-.{6}$/.test(name)) return 'InvalidParameterException: Invalid name.';
    const known = this.secrets.get(name);
    if (known?.deletedAt)
      return "InvalidRequestException: You can't create this secret because a secret with this name is already scheduled for deletion.";
    if (known) return 'ResourceExistsException: The operation failed because the secret already exists.';
    const secret: StoredSecret = {
      name,
      tags: (asked.Tags ?? []) as StoredSecret['tags'],
      kmsKeyId: asked.KmsKeyId as string | undefined,
      versions: [],
      deletedAt: null,
    };
    this.secrets.set(name, secret);
    return { Name: name, VersionId: this.#addVersion(secret, asked) };
  }

  #addVersion(secret: StoredSecret, { ClientRequestToken, SecretString }: Request): string {
    const id = String(ClientRequestToken ?? randomUUID());
    secret.versions.push({ id, value: String(SecretString), createdAt: ++this.#clock });
    return id;
  }

  #list({ Filters, NextToken, MaxResults }: Request): object {
    const [filter] = (Filters ?? []) as { Key: string; Values: string[] }[];
    const found = [...this.secrets.values()]
      .filter(({ name, deletedAt }) => !deletedAt && (filter?.Values ?? ['']).some((value) => name.startsWith(value)))
      .map(({ name, tags }) => ({ Name: name, Tags: tags }));
    const from = Number(NextToken ?? 0);
    const size = Math.min(Number(MaxResults ?? 100), 100);
    return {
      SecretList: found.slice(from, from + size),
      ...(from + size < found.length ? { NextToken: String(from + size) } : {}),
    };
  }
}

/** As AWS does: nearly everything is 400. */
function refuse(response: ServerResponse, name: string, message = name, status = 400): void {
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.1',
    'x-amzn-errortype': name.replace(/[^\w]/g, ''),
  });
  response.end(JSON.stringify({ __type: name, message }));
}
