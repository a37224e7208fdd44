import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import * as age from 'age-encryption';
import { describe, expect, test } from 'vitest';
import { findIn } from '../canary.ts';
import { Deployment } from '../deployment.ts';

const SECRETS = 8;
const VERSIONS = 2;
const MAX_KILLS = 7;

/** A deployment with two secret managers of the kind `file`, and secrets with versions in the first. */
async function filled() {
  const deployment = await Deployment.startWithDatabase();
  await writeFile(
    join(deployment.folder, 'managers.json'),
    JSON.stringify({
      default: 'old',
      managers: {
        old: { backend: 'file', file_folder: 'old', recipient_file: 'old-keys/r', identity_file: 'old-keys/i' },
        new: { backend: 'file', file_folder: 'new', recipient_file: 'new-keys/r', identity_file: 'new-keys/i' },
      },
    }),
  );
  deployment.environment.LOCKGATE_SECRET_MANAGERS = join(deployment.folder, 'managers.json');
  return deployment;
}

async function fill(deployment: Deployment): Promise<void> {
  const put = async (n: number) => {
    for (let version = 1; version <= VERSIONS; version++) {
      await deployment.putSecret(`creds-${n}`, deployment.credential({ session_name: `version-${version}` }));
    }
  };
  for (let n = 0; n < SECRETS; n += 4) await Promise.all([0, 1, 2, 3].map((i) => put(n + i)));
}

/** Kills the command at random instants until it ends by itself; returns how often it was killed. */
async function tormented(
  deployment: Deployment,
  words: readonly string[],
  between: () => Promise<void>,
): Promise<number> {
  for (let kills = 0; ; kills++) {
    const { child, ended } = deployment.start(words);
    const timer = kills < MAX_KILLS ? setTimeout(() => child.kill('SIGKILL'), 700 + Math.random() * 900) : undefined;
    const { code, stderr } = await ended;
    clearTimeout(timer);
    await between();
    if (code === 0) return kills;
    expect(stderr).toBe('');
  }
}

describe('moving secrets', () => {
  test('a migration that is killed again and again ends with every version once, and syncs never fail meanwhile', async () => {
    await using deployment = await filled();
    deployment.s3.put('docs', 'a.txt', 'text');
    await fill(deployment);
    await deployment.json('collections', 'create', 'handbook');
    const place = ['--collection', 'handbook', '--type', 's3', '--path', 's3://docs'];
    for (let n = 0; n < SECRETS; n += 3)
      await deployment.json('sources', 'add', ...place, '--credential', `creds-${n}`);
    await deployment.json('sources', 'add', ...place, '--credential', 'creds-1#2');
    await deployment.json('sources', 'add', ...place, '--credential', 'old:creds-2');

    const preview = await deployment.json<{ items: object[] }>(
      'secrets',
      'migrate',
      '--from',
      'old',
      '--to',
      'new',
      '--dry-run',
    );
    expect(preview.items.length).toBe(SECRETS);
    expect(preview.items[0]).toEqual({ id: 'creds-0', type: 's3', versions: VERSIONS, sources: 1, there: false });
    expect(await deployment.json('secrets', 'list', '--manager', 'new')).toEqual({ items: [] });

    let stopped = false;
    const failures: string[] = [];
    let syncs = 0;
    const syncing = (async () => {
      while (!stopped) {
        const { code, stdout, stderr } = await deployment.run('sync', 'handbook', '--json');
        syncs++;
        if (code !== 0) failures.push(`${code} ${stdout} ${stderr}`);
      }
    })();
    const kills = await tormented(
      deployment,
      ['secrets', 'migrate', '--from', 'old', '--to', 'new', '--json'],
      async () => {
        // A version that is added while it goes on is not left behind.
        await deployment.putSecret('creds-5', deployment.credential({ session_name: 'late' }));
      },
    );
    stopped = true;
    await syncing;
    expect(failures).toEqual([]);
    expect(syncs).toBeGreaterThan(0);
    // Those that were added after the last step are brought over by another.
    await deployment.json('secrets', 'migrate', '--from', 'old', '--to', 'new');
    for (let n = 0; n < SECRETS; n++) {
      const id = `creds-${n}`;
      const [before, after] = await Promise.all(
        ['old', 'new'].map((manager) =>
          deployment.json<{ versions: object[]; sources: object[] }>('secrets', 'describe', id, '--manager', manager),
        ),
      );
      expect(after?.versions.length, `${id} after ${kills} kills`).toBe(before?.versions.length);
      expect(before?.sources, id).toEqual([]);
    }
    const { items } = await deployment.json<{
      items: { credentialManager: string; credentialVersion: string | null }[];
    }>('sources', 'list');
    expect(items.every(({ credentialManager }) => credentialManager === 'new')).toBe(true);
    expect(items.filter(({ credentialVersion }) => credentialVersion === '2').length).toBe(1);
    expect((await deployment.run('sync', 'handbook')).code).toBe(0);
    // The originals are what they were.
    expect((await deployment.json<{ items: object[] }>('secrets', 'list', '--manager', 'old')).items.length).toBe(
      SECRETS,
    );
    const audit = await readFile(join(deployment.dataDir, 'audit', 'access.jsonl'), 'utf8');
    expect(audit).toContain('"action":"secret.migrate"');
    expect((await deployment.run('audit', 'verify')).code).toBe(0);

    // Something else under the same ID is a conflict, and nothing is switched.
    for (const manager of ['old', 'new']) {
      const words = ['secrets', 'put', 'both', '--type', 's3', '--manager', manager];
      await deployment.start(words, JSON.stringify(deployment.credential({ session_name: manager }))).ended;
    }
    const conflict = await deployment.run('secrets', 'migrate', '--from', 'old', '--to', 'new');
    expect(conflict.code).toBe(1);
    expect(conflict.stderr).toContain('"both"');
  }, 240_000);

  test('a change of identity that is killed again and again ends with everything sealed to the new one', async () => {
    await using deployment = await filled();
    await fill(deployment);
    const identity = join(deployment.folder, 'old-keys', 'i');
    const before = (await readFile(identity, 'utf8')).trim();
    await deployment.json('collections', 'create', 'handbook');
    const place = ['--collection', 'handbook', '--type', 's3', '--path', 's3://docs'];
    deployment.s3.put('docs', 'a.txt', 'text');
    for (let n = 0; n < SECRETS; n++) await deployment.json('sources', 'add', ...place, '--credential', `creds-${n}`);
    const kills = await tormented(deployment, ['secrets', 'rekey', '--json'], async () => {
      expect((await deployment.run('sync', 'handbook')).code).toBe(0);
      await deployment.putSecret('creds-3', deployment.credential({ session_name: 'meanwhile' }));
    });
    const after = (await readFile(identity, 'utf8')).trim();
    expect(after.split('\n').length, `after ${kills} kills`).toBe(1);
    expect(after).not.toBe(before);
    expect((await stat(identity)).mode & 0o777).toBe(0o600);
    const again = await deployment.run('sync', 'handbook');
    expect(again.code, again.stderr).toBe(0);
    // The old identity opens nothing any more.
    await writeFile(identity, before);
    expect((await deployment.run('sync', 'handbook')).code).toBe(1);
    await writeFile(identity, after);
    expect((await deployment.run('secrets', 'rekey', '--manager', 'nowhere')).code).toBe(2);
  }, 240_000);

  test('an export is sealed to its recipient, and comes back with every version and scope', async () => {
    await using deployment = await filled();
    await fill(deployment);
    const scoped = ['secrets', 'put', 'scoped', '--type', 's3', '--for-path', 's3://docs', '--expires', '2031-01-01'];
    await deployment.start(scoped, JSON.stringify(deployment.credential())).ended;
    const identity = await age.generateIdentity();
    const recipient = await age.identityToRecipient(identity);
    const bundle = join(deployment.folder, 'secrets.age');
    await writeFile(join(deployment.folder, 'mine.txt'), `# comment\n${identity}\n`);
    await writeFile(join(deployment.folder, 'other.txt'), await age.generateIdentity());
    const exported = ['secrets', 'export', '--recipient', recipient, '--output', bundle];
    expect(await deployment.json(...exported)).toEqual({ secrets: SECRETS + 1, versions: SECRETS * VERSIONS + 1 });
    const bytes = await readFile(bundle);
    expect(findIn(bytes, [deployment.secretAccessKey, 'creds-1'])).toEqual([]);
    expect((await stat(bundle)).mode & 0o777).toBe(0o600);

    const into = ['secrets', 'import', '--file', bundle, '--manager', 'new', '--identity-file'];
    expect((await deployment.run(...into, join(deployment.folder, 'other.txt'))).stderr).toContain('another identity');
    expect((await deployment.run(...into, bundle)).code).toBe(2);
    const imported = await deployment.json<{ imported: string[] }>(...into, join(deployment.folder, 'mine.txt'));
    expect(imported.imported.length).toBe(SECRETS + 1);
    expect(await deployment.json('secrets', 'describe', 'scoped', '--manager', 'new')).toMatchObject({
      scope: { paths: ['s3://docs'] },
      expiresAt: '2031-01-01T00:00:00.000Z',
    });
    const { versions } = await deployment.json<{ versions: object[] }>(
      'secrets',
      'describe',
      'creds-1',
      '--manager',
      'new',
    );
    expect(versions.length).toBe(VERSIONS);
    const again = await deployment.json<{ imported: string[]; skipped: string[] }>(
      ...into,
      join(deployment.folder, 'mine.txt'),
    );
    expect(again).toMatchObject({ imported: [] });
    expect(again.skipped.length).toBe(SECRETS + 1);
    expect((await deployment.run('secrets', 'export', '--recipient', 'nobody', '--output', bundle)).code).toBe(2);
    await wait(0);
  });
});
