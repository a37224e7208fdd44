import { chmod, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as age from 'age-encryption';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { openFileDirectory } from '../../src/secrets/file/directory.ts';
import { secretFolder, versionFile } from '../../src/secrets/file/layout.ts';
import { openFileReader } from '../../src/secrets/file/reader.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';

const purpose = { actor: 'test', reason: 'test' };
const ref = (secretId: string) => ({ manager: 'default', workspace: 'default', secretId });

function open(root: string, workspace = 'default') {
  const folder = join(root, 'secrets');
  const keys = { recipientFile: join(root, 'keys', 'recipient.txt'), identityFile: join(root, 'keys', 'identity.txt') };
  return {
    directory: openFileDirectory({ folder, workspace }, keys, Date.now),
    reader: openFileReader(folder, keys),
    folder,
    keys,
  };
}

secretManagerConformance('file', async () => {
  const root = await mkdtemp(join(tmpdir(), 'lockgate-file-'));
  const { directory, reader } = open(root);
  const decrypted = vi.spyOn(age.Decrypter.prototype, 'decrypt');
  return {
    directory,
    reader,
    capabilities: { writes: true, versions: true },
    seed: async (id, type, credential) => void (await directory.put(id, type, new Secret(credential))),
    valuesRead: () => decrypted.mock.calls.length,
    otherWorkspace: () => ({ directory: open(root, 'other').directory, workspace: 'other' }),
    close: () => rm(root, { recursive: true }),
  };
});

describe('the file secret manager alone', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lockgate-file-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  test('files are closed to others and hold no value in clear', async () => {
    const { directory, folder, keys } = open(root);
    await directory.put('my-creds', 's3', new Secret({ secret_access_key: 'canary-value' }));
    const path = versionFile(secretFolder({ folder, workspace: 'default' }, 'my-creds'), '1');
    for (const file of [path, keys.identityFile]) expect((await stat(file)).mode & 0o777).toBe(0o600);
    const text = await readFile(path, 'latin1');
    expect(text).toContain('age-encryption.org/v1');
    expect(text).not.toContain('canary');
    expect((await readdir(secretFolder({ folder, workspace: 'default' }, 'my-creds'))).length).toBe(1);
  });

  test('a removal that is cut off anywhere has removed all versions or none, and their numbers are not given again', async () => {
    const { directory, reader, folder } = open(root);
    const own = secretFolder({ folder, workspace: 'default' }, 'my-creds');
    for (const a of [1, 2, 3]) await directory.put('my-creds', 's3', new Secret({ a }));
    await cp(own, join(root, 'before'), { recursive: true });
    await directory.remove('my-creds');
    // What a process leaves that is killed behind the first, the second, ... of its steps.
    for (const gone of [[], ['3'], ['2', '3'], ['1'], ['1', '2']]) {
      for (const version of ['1', '2', '3']) {
        if (!gone.includes(version)) await cp(join(root, 'before', `${version}.age`), versionFile(own, version));
      }
      expect(await Array.fromAsync(directory.list())).toEqual([]);
      for (const version of [undefined, '1', '2']) {
        const asked = { ...ref('my-creds'), ...(version ? { version } : {}) };
        await expect(reader.access(asked, purpose)).rejects.toMatchObject({ code: 'credential_not_found' });
      }
      await directory.remove('my-creds');
      expect(await readdir(own)).toEqual(['removed.json']);
    }
    await cp(join(root, 'before', '2.age'), versionFile(own, '2'));
    expect(await directory.put('my-creds', 's3', new Secret({ a: 4 }))).toMatchObject({ versions: [{ version: '4' }] });
    expect((await readdir(own)).sort()).toEqual(['4.age', 'removed.json']);
    await writeFile(join(own, 'removed.json'), '{');
    await expect(directory.describe('my-creds')).rejects.toMatchObject({ code: 'credential_malformed' });
  });

  test('the recipient alone can add and list, and cannot read', async () => {
    const { directory, reader, keys } = open(root);
    await directory.put('first', 's3', new Secret({ a: 1 }));
    await rm(keys.identityFile);
    await directory.put('second', 's3', new Secret({ a: 2 }));
    expect((await Array.fromAsync(directory.list())).map(({ id }) => id)).toEqual(['first', 'second']);
    await expect(reader.access(ref('second'), purpose)).rejects.toMatchObject({ code: 'identity_missing' });
    // A lost identity is never replaced by a new one behind the operator's back.
    await expect(stat(keys.identityFile)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('an identity that others can read is refused', async () => {
    const { directory, reader, keys } = open(root);
    await directory.put('a', 's3', new Secret({ a: 1 }));
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(keys.identityFile, mode);
      const error = await reader.access(ref('a'), purpose).catch((failure) => failure);
      expect(error).toMatchObject({ code: 'secret_access_denied', hint: expect.stringContaining('chmod 600') });
    }
    await chmod(keys.identityFile, 0o600);
    expect((await reader.access(ref('a'), purpose)).value.reveal()).toEqual({ a: 1 });
  });

  test('a swapped, relabelled, rolled back or edited file is found out', async () => {
    const { directory, reader, folder } = open(root);
    for (const n of [1, 2]) await directory.put('mine', 's3', new Secret({ of: 'mine', n }));
    await directory.put('theirs', 's3', new Secret({ of: 'theirs' }));
    const at = { folder, workspace: 'default' };
    const mine = secretFolder(at, 'mine');
    const whole = await readFile(versionFile(mine, '2'));
    const attacks: (() => Promise<void>)[] = [
      () => cp(versionFile(secretFolder(at, 'theirs'), '1'), versionFile(mine, '2')),
      () => cp(versionFile(mine, '1'), versionFile(mine, '2')),
      async () =>
        writeFile(
          versionFile(mine, '2'),
          Buffer.concat([
            (await readFile(versionFile(mine, '1'))).subarray(0, whole.indexOf(0x0a)),
            whole.subarray(whole.indexOf(0x0a)),
          ]),
        ),
      async () =>
        writeFile(
          versionFile(mine, '2'),
          whole.toString('latin1').replace(/"createdAt":"[^"]+"/, '"createdAt":"2020-01-01T00:00:00.000Z"'),
          'latin1',
        ),
      () => writeFile(versionFile(mine, '2'), whole.subarray(0, -1)),
      () => writeFile(versionFile(mine, '2'), Buffer.concat([whole.subarray(0, -5), Buffer.from([1, 2, 3, 4, 5])])),
      () => writeFile(versionFile(mine, '2'), 'rubbish'),
      () => writeFile(versionFile(mine, '2'), ''),
    ];
    for (const attack of attacks) {
      await attack();
      const error = await reader.access(ref('mine'), purpose).catch((failure) => failure);
      expect(['credential_tampered', 'credential_malformed']).toContain(error.code);
      await writeFile(versionFile(mine, '2'), whole);
    }
    expect((await reader.access(ref('mine'), purpose)).value.reveal()).toEqual({ of: 'mine', n: 2 });
  });

  test('a version of another connector type does not take the place of one in use', async () => {
    const { directory } = open(root);
    await directory.put('typed', 's3', new Secret({}));
    await expect(directory.put('typed', 'gcs' as 's3', new Secret({}))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
  });

  test('two processes that start at once make one identity', async () => {
    const openings = Array.from({ length: 8 }, () => open(root));
    await Promise.all(openings.map(({ directory }, n) => directory.put(`s${n}`, 's3', new Secret({ n }))));
    const { reader } = open(root);
    for (let n = 0; n < 8; n++) expect((await reader.access(ref(`s${n}`), purpose)).value.reveal()).toEqual({ n });
  });

  test('what an interrupted write left behind is neither listed nor read', async () => {
    const { directory, folder } = open(root);
    await directory.put('a', 's3', new Secret({}));
    await writeFile(join(secretFolder({ folder, workspace: 'default' }, 'a'), '.123-abc.tmp'), 'half a fi');
    expect((await Array.fromAsync(directory.list())).map(({ id, versions }) => [id, versions?.length])).toEqual([
      ['a', 1],
    ]);
  });
});
