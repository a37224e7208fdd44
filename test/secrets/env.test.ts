import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { openEnvDirectory } from '../../src/secrets/env/directory.ts';
import { type EnvSecret, findEnvSecrets } from '../../src/secrets/env/names.ts';
import { openEnvReader } from '../../src/secrets/env/reader.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { managerOf } from '../manager.ts';

const purpose = { actor: 'test', reason: 'test' };
const ref = (secretId: string) => ({ manager: 'default', workspace: 'default', secretId });

secretManagerConformance('env', async () => {
  const secrets: EnvSecret[] = [];
  let reads = 0;
  const reader = openEnvReader(secrets);
  const environment: Record<string, string> = {};
  return {
    directory: openEnvDirectory(secrets),
    reader: {
      access: (...words) => {
        reads++;
        return reader.access(...words);
      },
    },
    capabilities: { writes: false, versions: false },
    seed: async (id, type, credential) => {
      const variable = `LOCKGATE_SECRET_${id.toUpperCase().replaceAll('-', '_')}`;
      environment[variable] = JSON.stringify(credential);
      environment[`${variable}_TYPE`] = type;
      secrets.splice(0, secrets.length, ...findEnvSecrets(environment));
    },
    valuesRead: () => reads,
    otherWorkspace: () => null,
    close: async () => undefined,
  };
});

describe('the env secret manager alone', () => {
  test('values leave the environment when the configuration is read', async () => {
    const environment = {
      LOCKGATE_SECRET_MANAGER: 'env',
      LOCKGATE_SECRET_MY_CREDS: '{"a":"canary"}',
      LOCKGATE_SECRET_MY_CREDS_TYPE: 's3',
    };
    const config = readConfig(environment);
    expect(JSON.stringify(environment)).not.toContain('canary');
    expect(JSON.stringify(config)).not.toContain('canary');
    const again = managerOf(environment);
    if (again?.backend !== 'env') throw new Error('not env');
    expect((await openEnvReader(again.secrets).access(ref('my-creds'), purpose)).value.reveal()).toEqual({
      a: 'canary',
    });
  });

  test('a mounted file is read anew at each access', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-env-'));
    const path = join(folder, 'mounted.json');
    const reader = openEnvReader(findEnvSecrets({ LOCKGATE_SECRET_M_FILE: path, LOCKGATE_SECRET_M_TYPE: 's3' }));
    await expect(reader.access(ref('m'), purpose)).rejects.toMatchObject({
      code: 'secret_access_denied',
      message: expect.stringContaining('LOCKGATE_SECRET_M_FILE'),
    });
    for (const n of [1, 2]) {
      await writeFile(path, JSON.stringify({ n }));
      expect((await reader.access(ref('m'), purpose)).value.reveal()).toEqual({ n });
    }
    await rm(folder, { recursive: true });
  });

  test('wrong JSON names the variable and not its content; a missing type names what to set', async () => {
    const reader = openEnvReader(
      findEnvSecrets({ LOCKGATE_SECRET_BAD: 'canary{', LOCKGATE_SECRET_BAD_TYPE: 's3', LOCKGATE_SECRET_UNTYPED: '{}' }),
    );
    const error = await reader.access(ref('bad'), purpose).catch((failure) => failure);
    expect(error.code).toBe('credential_malformed');
    expect(error.message).toContain('LOCKGATE_SECRET_BAD');
    expect(JSON.stringify([error.message, error.stack, error.hint])).not.toContain('canary');
    await expect(reader.access(ref('untyped'), purpose)).rejects.toMatchObject({
      hint: expect.stringContaining('LOCKGATE_SECRET_UNTYPED_TYPE'),
    });
  });

  test('each variable is one ID, and other spellings are not found', async () => {
    const reader = openEnvReader(
      findEnvSecrets({ LOCKGATE_SECRET_MY_CREDS: '{}', LOCKGATE_SECRET_MY_CREDS_TYPE: 's3' }),
    );
    for (const id of ['my_creds', 'MY-CREDS', 'my.creds'])
      await expect(reader.access(ref(id), purpose)).rejects.toMatchObject({ code: 'credential_not_found' });
  });
});
