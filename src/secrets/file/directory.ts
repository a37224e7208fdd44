import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as age from 'age-encryption';
import { CredentialNotFoundError, InputError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata, SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { describedAs } from '../labels.ts';
import { assertPut, assertSameType } from '../payload.ts';
import { type KeyFiles, readRecipient } from './keys.ts';
import {
  type FileLocation,
  type Labels,
  MAX_SECRET_BYTES,
  missingAsEmpty,
  readFolder,
  readVersion,
  removeVersions,
  scopeOf,
  secretFolder,
  sweepRemoved,
  versionFile,
  versionsIn,
  workspaceFolder,
  writeVersion,
} from './layout.ts';

/** Half of what a file may have: base64, labels and age's header come on top. */
const MAX_CREDENTIAL_BYTES = MAX_SECRET_BYTES / 2;

/** The `file` secret manager without its reading half: it seals to the recipient and lists labels. */
export function openFileDirectory(at: FileLocation, keys: KeyFiles, now: () => number): SecretDirectory {
  return {
    list: (filter) => list(at, filter?.connectorType),
    describe: (id) => describe(at, id),
    put: (id, type, credential, metadata) => put({ at, keys, now }, id, type, credential, metadata),
    remove: async (id) => {
      const folder = secretFolder(at, id);
      const there = await readFolder(folder);
      // One whose removal was cut off is removed to its end.
      if (there.versions.length + there.left.length === 0) throw new CredentialNotFoundError(id);
      await removeVersions(folder, there);
    },
  };
}

async function* list(at: FileLocation, connectorType?: SecretType): AsyncIterable<SecretInfo> {
  const root = workspaceFolder(at);
  const found: SecretInfo[] = [];
  for (const name of await readdir(root).catch(missingAsEmpty)) {
    const info = await infoOf(join(root, name));
    if (info && (connectorType === undefined || info.connectorType === connectorType)) found.push(info);
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function describe(at: FileLocation, id: string): Promise<SecretInfo> {
  assertSecretId(id);
  const info = await infoOf(secretFolder(at, id));
  if (!info) throw new CredentialNotFoundError(id);
  return info;
}

async function infoOf(folder: string): Promise<SecretInfo | null> {
  const labels: Labels[] = [];
  for (const version of await versionsIn(folder)) labels.push((await readVersion(versionFile(folder, version))).labels);
  const latest = labels[0];
  if (!latest) return null;
  return {
    id: latest.id,
    connectorType: latest.connectorType,
    versions: labels.map(({ version, createdAt }) => ({ version, createdAt })),
    expiresAt: latest.expiresAt ?? null,
    scope: scopeOf(latest),
  };
}

async function put(
  { at, keys, now }: { at: FileLocation; keys: KeyFiles; now: () => number },
  id: string,
  connectorType: SecretType,
  credential: Secret<unknown>,
  metadata?: SecretMetadata,
): Promise<SecretInfo> {
  assertPut(id, metadata);
  const recipient = await readRecipient(keys);
  const folder = secretFolder(at, id);
  for (;;) {
    const { versions, left, last } = await readFolder(folder);
    const known = versions[0] ? (await readVersion(versionFile(folder, versions[0]))).labels : null;
    if (known) assertSameType(id, known.connectorType, connectorType);
    const { scope, expiresAt } = describedAs(
      { id, workspace: at.workspace, type: connectorType },
      metadata,
      known && { scope: scopeOf(known) },
    );
    const labels: Labels = {
      format: 'lockgate-secret/1',
      workspace: at.workspace,
      id,
      version: String(last + 1),
      connectorType,
      createdAt: new Date(now()).toISOString(),
      ...(expiresAt ? { expiresAt } : {}),
      ...(scope ? { scope: { ...scope } as NonNullable<Labels['scope']> } : {}),
    };
    try {
      await writeVersion(folder, labels, await seal(recipient, labels, credential));
      await sweepRemoved(folder, left);
      return await describe(at, id);
    } catch (error) {
      // Another process wrote this number first: take the next one.
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
  }
}

export async function seal(recipient: string, labels: Labels, credential: Secret<unknown>): Promise<Uint8Array> {
  const payload = JSON.stringify({ labels, credential: credential.reveal() });
  if (Buffer.byteLength(payload) > MAX_CREDENTIAL_BYTES) {
    throw new InputError('credential_too_large', `A credential may have ${MAX_CREDENTIAL_BYTES} bytes at the most.`);
  }
  const encrypter = new age.Encrypter();
  encrypter.addRecipient(recipient);
  return encrypter.encrypt(payload);
}
