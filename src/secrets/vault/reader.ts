import { CredentialNotFoundError, CredentialUnusableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretReader } from '../../contract/secret-manager.ts';
import { pathOf, VaultClient } from './client.ts';
import { assertOk, type Notes, typeOf } from './directory.ts';
import type { VaultSettings } from './settings.ts';

/** The reading half of Vault: one request for the value, its version and what it is. */
export function openVaultReader(settings: VaultSettings): SecretReader {
  const client = new VaultClient(settings);
  return {
    access: async (ref) => {
      const { workspace, secretId, version } = ref;
      if (version !== undefined && !/^\d{1,9}$/.test(version)) throw new CredentialNotFoundError(secretId);
      const path = pathOf(settings, 'data', workspace, secretId);
      const answer = await client.request('GET', version ? `${path}?version=${version}` : path);
      const { data, metadata } = (answer.body.data ?? {}) as {
        data?: { credential?: unknown } | null;
        metadata?: Described;
      };
      // Vault answers 404 for what was deleted too, but says when.
      if (answer.status === 404 && (metadata?.deletion_time || metadata?.destroyed)) throw deleted(secretId);
      if (answer.status === 404) throw new CredentialNotFoundError(secretId);
      assertOk(answer);
      const connectorType = typeOf(metadata?.custom_metadata, workspace, secretId);
      if (!connectorType || !metadata?.version) throw new CredentialNotFoundError(secretId);
      if (data?.credential === undefined) {
        throw new CredentialUnusableError('credential_malformed', `"${secretId}" has no field "credential".`);
      }
      return {
        ref: { ...ref, version: String(metadata.version) },
        connectorType,
        value: new Secret<unknown>(data.credential),
      };
    },
  };
}

interface Described {
  readonly version?: number;
  readonly deletion_time?: string;
  readonly destroyed?: boolean;
  readonly custom_metadata?: Notes | null;
}

function deleted(id: string): CredentialUnusableError {
  return new CredentialUnusableError(
    'credential_deleted',
    `The version of "${id}" is deleted or destroyed in Vault.`,
    'Undelete it there, or store a new version: lockgate secrets put <id> --type <type> < credential.json',
  );
}
