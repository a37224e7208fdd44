import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Deployment } from '../deployment.ts';

test('the key pair is made before the first secret, and what adds secrets never has the identity', async () => {
  await using deployment = await Deployment.start();
  const identityFile = join(deployment.folder, 'workers', 'identity.txt');
  const recipientFile = join(deployment.folder, 'everybody', 'recipient.txt');
  const { environment } = deployment;
  deployment.environment = {
    ...environment,
    LOCKGATE_IDENTITY_FILE: identityFile,
    LOCKGATE_RECIPIENT_FILE: recipientFile,
  };
  const made = await deployment.json<{ recipient: string }>('secrets', 'keys');
  expect(made).toEqual({ recipient: (await readFile(recipientFile, 'utf8')).trim(), recipientFile, identityFile });
  expect((await stat(identityFile)).mode & 0o777).toBe(0o600);
  // Again: the same pair.
  expect(await deployment.json('secrets', 'keys')).toEqual(made);
  expect(JSON.stringify(made)).not.toContain((await readFile(identityFile, 'utf8')).trim());
  // Who adds has the recipient only; who syncs has the identity.
  deployment.s3.put('docs', 'a.txt', 'text');
  deployment.environment = { ...environment, LOCKGATE_RECIPIENT_FILE: recipientFile };
  await deployment.putSecret();
  await deployment.connect();
  const without = await deployment.run('sync', 'handbook');
  expect([without.code, without.stdout + without.stderr]).toEqual([1, expect.stringContaining('identity')]);
  deployment.environment = { ...deployment.environment, LOCKGATE_IDENTITY_FILE: identityFile };
  expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  deployment.environment = { ...environment, LOCKGATE_SECRET_MANAGER: 'env' };
  const refused = await deployment.run('secrets', 'keys');
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('no secret manager of the kind "file"')]);
  deployment.environment = environment;
});
