import { randomUUID } from 'node:crypto';
import { CredentialNotFoundError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import {
  SECRET_TYPES,
  type SecretDirectory,
  type SecretInfo,
  type SecretMetadata,
  type SecretScope,
  type SecretType,
} from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { describedAs } from '../labels.ts';
import { assertPut, payloadOf } from '../payload.ts';
import { type SecureStoreClient, secureStoreClient } from './client.ts';
import type { SecureStoreClientSettings } from './settings.ts';

const MAX_BYTES = 512 * 1024;

/** What the store says of a secret. */
export interface StoreSecret {
  readonly id?: unknown;
  readonly type?: unknown;
  readonly scope?: unknown;
  readonly expiresAt?: unknown;
  readonly versions?: readonly { readonly version: number; readonly state: string; readonly createdAt: string }[];
}

/** SecureStore without its reading half: it never asks for a value to be revealed. */
export function openSecureStoreDirectory(settings: SecureStoreClientSettings, workspace: string): SecretDirectory {
  const client = secureStoreClient(settings);
  const describe = async (id: string): Promise<SecretInfo> => {
    assertSecretId(id);
    const { body } = await client.ask('GET', pathOf(workspace, id), id);
    const info = infoOf(body);
    if (info) return info;
    throw new CredentialNotFoundError(id);
  };
  return {
    list: (filter) => list(client, workspace, filter?.connectorType),
    describe,
    put: async (id, type, credential, metadata) => {
      await put(client, workspace, id, type, credential, metadata);
      return describe(id);
    },
    remove: async (id) => {
      assertSecretId(id);
      await client.ask('DELETE', pathOf(workspace, id), id);
    },
  };
}

export function pathOf(workspace: string, id: string): string {
  return `/v1/workspaces/${encodeURIComponent(workspace)}/secrets/${encodeURIComponent(id)}`;
}

async function* list(
  client: SecureStoreClient,
  workspace: string,
  type: SecretType | undefined,
): AsyncIterable<SecretInfo> {
  let token: string | null = null;
  do {
    const query = new URLSearchParams({
      pageSize: '500',
      ...(type ? { type } : {}),
      ...(token ? { pageToken: token } : {}),
    });
    const { body } = await client.ask('GET', `/v1/workspaces/${encodeURIComponent(workspace)}/secrets?${query}`, '*');
    const { items, nextPageToken } = body as { items?: unknown; nextPageToken?: unknown };
    for (const item of Array.isArray(items) ? items : []) {
      const info = infoOf(item as StoreSecret);
      if (info) yield info;
    }
    token = typeof nextPageToken === 'string' ? nextPageToken : null;
  } while (token !== null);
}

async function put(
  client: SecureStoreClient,
  workspace: string,
  id: string,
  type: SecretType,
  credential: Secret<unknown>,
  metadata: SecretMetadata | undefined,
): Promise<void> {
  assertPut(id, metadata);
  const text = payloadOf(credential, MAX_BYTES);
  // A scope stays as it was unless another is given; the store does so with what is absent.
  const { scope, expiresAt } = describedAs({ id, workspace, type }, metadata, null);
  const body = {
    type,
    value: JSON.parse(text.reveal()),
    ...(metadata?.scope === undefined ? {} : { scope }),
    expiresAt,
  };
  // The same request, however often a lost answer has it sent.
  await client.ask('POST', `${pathOf(workspace, id)}/versions`, id, body, randomUUID());
}

/** Null: it is no secret that Lockgate made. */
export function infoOf({ id, type, scope, expiresAt, versions }: StoreSecret): SecretInfo | null {
  const connectorType = SECRET_TYPES.find((known) => known === type);
  if (typeof id !== 'string' || !connectorType) return null;
  return {
    id,
    connectorType,
    versions:
      versions
        ?.filter(({ state }) => state !== 'destroyed')
        .map(({ version, createdAt }) => ({ version: String(version), createdAt })) ?? null,
    expiresAt: typeof expiresAt === 'string' ? expiresAt : null,
    scope: (scope ?? null) as SecretScope | null,
  };
}
