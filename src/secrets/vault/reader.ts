import { CredentialNotFoundError, CredentialUnusableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { AccessedSecret, SecretReader, SecretRef } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { fromLabels } from '../labels.ts';
import { type VaultClient, vaultClient } from './client.ts';
import { assertOk, type Notes } from './directory.ts';
import { nameOf, pathOf, typedNames } from './names.ts';
import type { VaultSettings } from './settings.ts';

/** The reading half of Vault: one request for the value, its version and what it is. */
export function openVaultReader(settings: VaultSettings): SecretReader {
  const client = vaultClient(settings);
  return {
    access: async (ref) => {
      if (!ref.foreign) assertSecretId(ref.secretId);
      return settings.kv === 1 ? accessV1(client, settings, ref) : accessV2(client, settings, ref);
    },
  };
}

async function accessV2(client: VaultClient, settings: VaultSettings, ref: SecretRef): Promise<AccessedSecret> {
  const { workspace, secretId, version } = ref;
  if (version !== undefined && !/^\d{1,9}$/.test(version)) throw new CredentialNotFoundError(secretId);
  const path = pathOf(settings, 'data', ref.foreign ? secretId : nameOf(settings, workspace, secretId));
  const answer = await client.request('GET', version ? `${path}?version=${version}` : path);
  const { data, metadata } = (answer.body.data ?? {}) as {
    data?: { credential?: unknown } | null;
    metadata?: VersionMetadata;
  };
  // Vault answers 404 for what was deleted too, but says when.
  if (answer.status === 404 && (metadata?.deletion_time || metadata?.destroyed)) throw deleted(secretId);
  if (answer.status === 404) throw new CredentialNotFoundError(secretId);
  assertOk(answer);
  if (!metadata?.version) throw new CredentialNotFoundError(secretId);
  const found = { ...ref, version: String(metadata.version) };
  if (ref.foreign) return { ref: found, connectorType: null, value: new Secret<unknown>(data), scope: null };
  return ownSecret(found, metadata.custom_metadata, data?.credential);
}

/** Of version 1 of the engine, where what a secret is stands in its path and beside its value. */
async function accessV1(client: VaultClient, settings: VaultSettings, ref: SecretRef): Promise<AccessedSecret> {
  const { workspace, secretId, version } = ref;
  if (version !== undefined && version !== '1') throw new CredentialNotFoundError(secretId);
  const found = { ...ref, version: '1' };
  if (ref.foreign) {
    const answer = await client.request('GET', pathOf(settings, null, secretId));
    if (answer.status === 404) throw new CredentialNotFoundError(secretId);
    const value = new Secret<unknown>(assertOk(answer).body.data);
    return { ref: found, connectorType: null, value, scope: null };
  }
  for (const [, name] of typedNames(nameOf(settings, workspace, secretId))) {
    const answer = await client.request('GET', pathOf(settings, null, name));
    if (answer.status === 404) continue;
    const { credential, ...labels } = (assertOk(answer).body.data ?? {}) as { credential?: unknown } & Notes;
    return ownSecret(found, labels, credential);
  }
  throw new CredentialNotFoundError(secretId);
}

/** Names can be guessed; what a secret was made for stands beside it and is compared. */
function ownSecret(ref: AccessedSecret['ref'], labels: Notes | null | undefined, credential: unknown): AccessedSecret {
  const described = fromLabels(labels, '_');
  if (described?.id !== ref.secretId || described.workspace !== ref.workspace)
    throw new CredentialNotFoundError(ref.secretId);
  if (credential === undefined) {
    throw new CredentialUnusableError('credential_malformed', `"${ref.secretId}" has no field "credential".`);
  }
  return { ref, connectorType: described.type, value: new Secret(credential), scope: described.scope };
}

interface VersionMetadata {
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
