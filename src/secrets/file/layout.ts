import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CredentialUnusableError } from '../../contract/errors.ts';
import { SECRET_TYPES, type SecretScope } from '../../contract/secret-manager.ts';
import { fileNameOf } from '../identifier.ts';

/**
 * How the secrets lie on disk: `<folder>/<workspace>/<id>.<hash>/<version>.age`, one file per version. A file is a line
 * of labels in JSON, which listing reads, and an age file, which only the identity opens. The labels stand in the
 * sealed payload too, and an access compares them, so that exchanged or edited files are found out.
 * A removed secret leaves `removed.json`, so that its versions' numbers are never given again; a version up to the number in it is
 * removed, also where its file is still there.
 */
export interface FileLocation {
  /** Where the secrets lie. */
  readonly folder: string;
  readonly workspace: string;
}

export const Labels = z.strictObject({
  format: z.literal('lockgate-secret/1'),
  workspace: z.string(),
  id: z.string(),
  version: z.string().regex(/^[1-9][0-9]{0,8}$/),
  connectorType: z.enum(SECRET_TYPES),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().optional(),
  scope: z
    .strictObject({ collections: z.array(z.string()).optional(), paths: z.array(z.string()).optional() })
    .optional(),
});
export type Labels = z.infer<typeof Labels>;

export function scopeOf({ scope }: Labels): SecretScope | null {
  if (!scope) return null;
  return {
    ...(scope.collections ? { collections: scope.collections } : {}),
    ...(scope.paths ? { paths: scope.paths } : {}),
  };
}

const VERSION_FILE = /^([1-9][0-9]{0,8})\.age$/;
const REMOVED_FILE = 'removed.json';
const Removed = z.object({ lastVersion: z.int() });
/** No credential is near this size; a larger file is not one of ours. */
export const MAX_SECRET_BYTES = 256 * 1024;

export function workspaceFolder(at: FileLocation): string {
  return join(at.folder, fileNameOf('', at.workspace));
}

export function secretFolder(at: FileLocation, id: string): string {
  return join(workspaceFolder(at), fileNameOf(at.workspace, id));
}

/** The versions in a secret's folder, the latest first; empty when there is no such secret. */
export async function versionsIn(folder: string): Promise<string[]> {
  return (await readFolder(folder)).versions;
}

export interface SecretFolder {
  /** The latest first. */
  readonly versions: string[];
  /** Versions that are removed, and whose files a removal that was cut off has left. */
  readonly left: string[];
  /** The highest number that was ever given; 0: none was. */
  readonly last: number;
}

export async function readFolder(folder: string): Promise<SecretFolder> {
  const names = await readdir(folder).catch(missingAsEmpty);
  const files = names.flatMap((name) => VERSION_FILE.exec(name)?.[1] ?? []).sort((a, b) => Number(b) - Number(a));
  const removed = names.includes(REMOVED_FILE) ? await removedVersion(join(folder, REMOVED_FILE)) : 0;
  return {
    versions: files.filter((version) => Number(version) > removed),
    left: files.filter((version) => Number(version) <= removed),
    last: Math.max(Number(files[0] ?? 0), removed),
  };
}

/** The number that a removed secret had reached. */
async function removedVersion(path: string): Promise<number> {
  const text = await readFile(path, 'utf8');
  try {
    return Removed.parse(JSON.parse(text)).lastVersion;
  } catch {
    throw new CredentialUnusableError('credential_malformed', `The file ${path} is damaged.`);
  }
}

export function versionFile(folder: string, version: string): string {
  return join(folder, `${version}.age`);
}

/** The labels and the sealed payload of a version's file. */
export async function readVersion(path: string): Promise<{ labels: Labels; sealed: Uint8Array }> {
  const bytes = await readFile(path);
  const end = bytes.indexOf(0x0a);
  try {
    if (bytes.length > MAX_SECRET_BYTES || end < 0) throw new Error('not ours');
    const labels = Labels.parse(JSON.parse(bytes.subarray(0, end).toString('utf8')));
    return { labels, sealed: bytes.subarray(end + 1) };
  } catch {
    throw new CredentialUnusableError('credential_malformed', `The file ${path} is damaged or not a secret's file.`);
  }
}

/** Writes a new version whole and durably, or throws EEXIST when another writer took its number. */
export async function writeVersion(folder: string, labels: Labels, sealed: Uint8Array): Promise<void> {
  const content = Buffer.concat([Buffer.from(`${JSON.stringify(labels)}\n`), sealed]);
  const temporary = await writeTemporary(folder, content);
  try {
    // A link, unlike a rename, does not replace a file that is there.
    await link(temporary, versionFile(folder, labels.version));
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
}

/** Puts another file in the place of a version's, whole and durably. */
export async function replaceVersion(folder: string, labels: Labels, sealed: Uint8Array): Promise<void> {
  const temporary = await writeTemporary(folder, Buffer.concat([Buffer.from(`${JSON.stringify(labels)}\n`), sealed]));
  await rename(temporary, versionFile(folder, labels.version));
  await syncFolder(folder);
}

/** Removes every version at once, by the tombstone; then their files. */
export async function removeVersions(folder: string, { versions, left, last }: SecretFolder): Promise<void> {
  const temporary = await writeTemporary(folder, Buffer.from(JSON.stringify({ lastVersion: last })));
  await rename(temporary, join(folder, REMOVED_FILE));
  await syncFolder(folder);
  await sweepRemoved(folder, [...versions, ...left]);
}

/** Removes the files of versions that are removed. */
export async function sweepRemoved(folder: string, removed: readonly string[]): Promise<void> {
  for (const version of removed) await rm(versionFile(folder, version), { force: true });
  if (removed.length > 0) await syncFolder(folder);
}

async function writeTemporary(folder: string, content: Uint8Array): Promise<string> {
  const made = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (made) await syncFolder(dirname(folder));
  const path = join(folder, `.${process.pid}-${randomUUID()}.tmp`);
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return path;
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function missingAsEmpty(error: { code?: string }): string[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}
