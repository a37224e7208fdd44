import { DescribeSecretCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { CONNECTOR_TYPES } from '../../contract/connector.ts';
import { CredentialNotFoundError, CredentialUnusableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretReader } from '../../contract/secret-manager.ts';
import { parsePayload } from '../payload.ts';
import { createClient, isOf, nameOf, TAG_TYPE, tagOf } from './client.ts';
import { deleted, toManagerError } from './errors.ts';
import type { AwsSettings } from './settings.ts';

/** The reading half of AWS Secrets Manager. */
export function openAwsReader(settings: AwsSettings): SecretReader {
  const client = createClient(settings);
  return {
    access: async (ref) => {
      const { workspace, secretId, version } = ref;
      const SecretId = nameOf(settings, workspace, secretId);
      if (version !== undefined && !/^[\w-]{1,64}$/.test(version)) throw new CredentialNotFoundError(secretId);
      try {
        const secret = await client.send(new DescribeSecretCommand({ SecretId }));
        if (!isOf(secret, workspace, secretId)) throw new CredentialNotFoundError(secretId);
        if (secret.DeletedDate) throw deleted(secretId);
        const connectorType = CONNECTOR_TYPES.find((type) => type === tagOf(secret.Tags, TAG_TYPE));
        if (!connectorType) {
          throw new CredentialUnusableError('credential_wrong_type', `"${secretId}" is tagged with no connector type.`);
        }
        const answer = await client.send(
          new GetSecretValueCommand({ SecretId, ...(version ? { VersionId: version } : {}) }),
        );
        const value = new Secret(answer.SecretString ?? '').map((text) => parsePayload(text, secretId));
        return { ref: { ...ref, version: answer.VersionId ?? '' }, connectorType, value };
      } catch (error) {
        throw toManagerError(error, secretId);
      }
    },
  };
}
