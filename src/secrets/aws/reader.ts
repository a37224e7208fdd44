import { DescribeSecretCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { CredentialNotFoundError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { AccessedSecret, SecretReader, SecretRef } from '../../contract/secret-manager.ts';
import { parseForeign, parsePayload } from '../payload.ts';
import { createClient, describedBy, nameOf } from './client.ts';
import { deleted, toManagerError } from './errors.ts';
import type { AwsSettings } from './settings.ts';

/** The reading half of AWS Secrets Manager. */
export function openAwsReader(settings: AwsSettings): SecretReader {
  const client = createClient(settings);
  const read = async (SecretId: string, ref: SecretRef, parse: (text: string) => unknown) => {
    const VersionId = ref.version ? { VersionId: ref.version } : {};
    const answer = await client.send(new GetSecretValueCommand({ SecretId, ...VersionId }));
    const value = new Secret(answer.SecretString ?? '').map(parse);
    return { ref: { ...ref, version: answer.VersionId ?? '' }, value };
  };
  const access = async (ref: SecretRef): Promise<AccessedSecret> => {
    const { workspace, secretId } = ref;
    if (ref.foreign) return { ...(await read(secretId, ref, parseForeign)), connectorType: null, scope: null };
    const SecretId = nameOf(settings, workspace, secretId);
    const secret = await client.send(new DescribeSecretCommand({ SecretId }));
    const described = describedBy(secret, workspace, secretId);
    if (!described) throw new CredentialNotFoundError(secretId);
    if (secret.DeletedDate) throw deleted(secretId);
    const accessed = await read(SecretId, ref, (text) => parsePayload(text, secretId));
    return { ...accessed, connectorType: described.type, scope: described.scope };
  };
  return {
    access: async (ref) => {
      if (ref.version !== undefined && !/^[\w-]{1,64}$/.test(ref.version))
        throw new CredentialNotFoundError(ref.secretId);
      try {
        return await access(ref);
      } catch (error) {
        throw toManagerError(error, ref.secretId);
      }
    },
  };
}
