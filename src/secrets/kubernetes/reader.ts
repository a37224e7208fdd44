import { CredentialNotFoundError, CredentialUnusableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { AccessedSecret, SecretReader, SecretRef } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { fromLabels } from '../labels.ts';
import { parsePayload } from '../payload.ts';
import { KubernetesClient } from './client.ts';
import type { KubernetesSettings } from './settings.ts';

/** The reading half of Kubernetes. */
export function openKubernetesReader(settings: KubernetesSettings): SecretReader {
  const client = new KubernetesClient(settings);
  return {
    access: async (ref) => {
      if (ref.foreign) return accessForeign(client, ref);
      const { workspace, secretId, version } = ref;
      assertSecretId(secretId);
      if (version !== undefined && !/^[1-9]\d{0,8}$/.test(version)) throw new CredentialNotFoundError(secretId);
      const number = version ? Number(version) : (await client.versionsOf(workspace, secretId))[0]?.number;
      const secret = number ? await client.read(client.nameOf(workspace, secretId, number)) : null;
      const described = fromLabels(secret?.metadata.annotations, '-');
      if (!secret || described?.id !== secretId || described.workspace !== workspace)
        throw new CredentialNotFoundError(secretId);
      const encoded = secret.data?.credential;
      if (encoded === undefined)
        throw new CredentialUnusableError('credential_malformed', `"${secretId}" has no field "credential".`);
      const value = new Secret(encoded).map((text) =>
        parsePayload(Buffer.from(text, 'base64').toString('utf8'), secretId),
      );
      return { ref: { ...ref, version: String(number) }, connectorType: described.type, value, scope: described.scope };
    },
  };
}

/** A Secret as it stands: its fields. It has one version, which changes its name when it is changed. */
async function accessForeign(client: KubernetesClient, ref: SecretRef): Promise<AccessedSecret> {
  const { secretId, version } = ref;
  const secret = /^[a-z0-9][a-z0-9.-]{0,252}$/.test(secretId) ? await client.read(secretId) : null;
  const current = secret?.metadata.resourceVersion ?? '1';
  if (!secret || (version !== undefined && version !== current)) throw new CredentialNotFoundError(secretId);
  const fields = Object.entries(secret.data ?? {}).map(([name, text]) => [
    name,
    Buffer.from(text, 'base64').toString('utf8'),
  ]);
  return {
    ref: { ...ref, version: current },
    connectorType: null,
    value: new Secret(Object.fromEntries(fields)),
    scope: null,
  };
}
