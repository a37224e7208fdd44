import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConnectorType } from '../../src/contract/connector.ts';
import { CredentialNotFoundError, SecretManagerError } from '../../src/contract/errors.ts';
import { Secret } from '../../src/contract/secret.ts';
import type { SecretDirectory, SecretReader, SecretRef } from '../../src/contract/secret-manager.ts';
import { whileTimeFlies } from '../time.ts';

/** What a backend's test supplies. */
export interface SecretManagerHarness {
  readonly directory: SecretDirectory;
  readonly reader: SecretReader;
  readonly capabilities: {
    readonly writes: boolean;
    readonly versions: boolean;
    /** The backend numbers versions anew after a removal. */
    readonly numbersRestart?: true;
    /** What stands beside a value cannot be read without it. */
    readonly notesWithValue?: true;
  };
  /** Puts a secret where the backend finds it, the way its operator would. */
  seed(id: string, connectorType: ConnectorType, credential: unknown): Promise<void>;
  /** Has another tool put a secret with these fields there, and returns its name; absent: the backend has no such thing. */
  seedForeign?(fields: Record<string, string>): Promise<string>;
  /** It takes requests and does not answer; absent: it cannot be made to here. */
  silent?(silent: boolean): void;
  /** How many values were read so far, as the backend's own side counts them. */
  valuesRead(): number;
  /** A directory and a reader of another workspace of the same backend; null where workspaces are not kept apart. */
  otherWorkspace(): { directory: SecretDirectory; workspace: string } | null;
  close(): Promise<void>;
}

const purpose = { actor: 'test', reason: 'conformance' };
const ref = (secretId: string, version?: string): SecretRef => ({
  manager: 'default',
  workspace: 'default',
  secretId,
  ...(version ? { version } : {}),
});

export function secretManagerConformance(name: string, makeHarness: () => Promise<SecretManagerHarness>): void {
  describe(`secret manager ${name}`, () => {
    let harness: SecretManagerHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());
    const reveal = async (id: string, version?: string) =>
      (await harness.reader.access(ref(id, version), purpose)).value.reveal();

    test('an empty listing is empty, and an unknown ID is not found', async () => {
      expect(await Array.fromAsync(harness.directory.list())).toEqual([]);
      await expect(harness.directory.describe('nobody')).rejects.toBeInstanceOf(CredentialNotFoundError);
      await expect(harness.reader.access(ref('nobody'), purpose)).rejects.toBeInstanceOf(CredentialNotFoundError);
    });

    test('what is put comes back as it was, unicode and all', async () => {
      const credential = {
        access_key_id: 'ümläut 日本 😀',
        nested: { list: [1, null, true, 'x"\\\n'] },
        long: 'y'.repeat(20_000),
      };
      await harness.seed('round-trip', 's3', credential);
      const accessed = await harness.reader.access(ref('round-trip'), purpose);
      expect(accessed.value.reveal()).toEqual(credential);
      expect(harness.valuesRead()).toBeGreaterThan(0);
      expect(accessed.connectorType).toBe('s3');
      expect(accessed.ref).toMatchObject({ secretId: 'round-trip', workspace: 'default', manager: 'default' });
      expect(accessed.ref.version).toBeTruthy();
    });

    test('listing filters by connector type, sorts, and reads no value', async () => {
      for (const id of ['b-second', 'a-first']) await harness.seed(id, 's3', { x: 1 });
      const before = harness.valuesRead();
      const ids = (await Array.fromAsync(harness.directory.list({ connectorType: 's3' }))).map((info) => info.id);
      expect(ids).toEqual([...ids].sort());
      expect(ids).toEqual(expect.arrayContaining(['a-first', 'b-second', 'round-trip']));
      expect(await Array.fromAsync(harness.directory.list({ connectorType: 'gcs' as ConnectorType }))).toEqual([]);
      expect((await harness.directory.describe('a-first')).connectorType).toBe('s3');
      expect(harness.valuesRead()).toBe(before);
    });

    test('100 accesses at once', async () => {
      await harness.seed('busy', 's3', { n: 1 });
      expect(await Promise.all(Array.from({ length: 100 }, () => reveal('busy')))).toEqual(Array(100).fill({ n: 1 }));
    });

    test('one that takes requests and does not answer is away after a while, and asked anew by the next access', async (context) => {
      if (!harness.silent) return context.skip('this backend cannot be silenced here');
      await harness.seed('stalled', 's3', { n: 1 });
      harness.silent(true);
      await whileTimeFlies(() =>
        expect(harness.reader.access(ref('stalled'), purpose)).rejects.toMatchObject({
          code: 'secret_manager_unavailable',
        }),
      );
      harness.silent(false);
      expect(await reveal('stalled')).toEqual({ n: 1 });
    });

    test('a value does not print', async () => {
      await harness.seed('quiet', 's3', { access_key_id: 'canary-in-a-value' });
      const accessed = await harness.reader.access(ref('quiet'), purpose);
      const { inspect } = await import('node:util');
      const shown = [
        JSON.stringify(accessed),
        inspect(accessed, { depth: 9, showHidden: true }),
        String(accessed.value),
        `${accessed.value}`,
        JSON.stringify({ ...accessed.value }),
      ];
      for (const text of shown) expect(text).not.toContain('canary');
    });

    test('a backend that cannot write says so', async (context) => {
      if (harness.capabilities.writes) return context.skip('this backend writes');
      const put = harness.directory.put('new', 's3', new Secret({}));
      await expect(put).rejects.toMatchObject({ code: 'secret_manager_read_only', hint: expect.any(String) });
      await expect(harness.directory.remove('a-first')).rejects.toBeInstanceOf(SecretManagerError);
    });

    test('a new version is the latest, and the old one stays', async (context) => {
      if (!harness.capabilities.versions) return context.skip('this backend has one version');
      for (const n of [1, 2, 3]) await harness.seed('versioned', 's3', { n });
      const info = await harness.directory.describe('versioned');
      const versions = info.versions ?? [];
      expect(versions.length).toBe(3);
      expect(await reveal('versioned')).toEqual({ n: 3 });
      expect(await Promise.all(versions.map(({ version }) => reveal('versioned', version)))).toEqual([
        { n: 3 },
        { n: 2 },
        { n: 1 },
      ]);
      await expect(reveal('versioned', '99')).rejects.toBeInstanceOf(CredentialNotFoundError);
    });

    test('writers at once each get a version of their own', async (context) => {
      if (!harness.capabilities.versions) return context.skip('this backend has one version');
      await Promise.all(Array.from({ length: 20 }, (_, n) => harness.directory.put('raced', 's3', new Secret({ n }))));
      const versions = (await harness.directory.describe('raced')).versions ?? [];
      const values = await Promise.all(versions.map(({ version }) => reveal('raced', version)));
      expect(new Set(values.map((value) => (value as { n: number }).n)).size).toBe(20);
    });

    test('what is removed is gone, and its versions are not given again', async (context) => {
      if (!harness.capabilities.writes) return context.skip('this backend is read-only');
      await harness.seed('doomed', 's3', { n: 1 });
      const [first] = (await harness.directory.describe('doomed')).versions ?? [];
      await harness.directory.remove('doomed');
      await expect(reveal('doomed')).rejects.toMatchObject({
        code: expect.stringMatching(/^credential_(not_found|deleted)$/),
      });
      await expect(harness.directory.remove('doomed')).rejects.toBeInstanceOf(CredentialNotFoundError);
      await harness.seed('doomed', 's3', { n: 2 });
      const [second] = (await harness.directory.describe('doomed')).versions ?? [];
      if (!harness.capabilities.numbersRestart) expect(second?.version).not.toBe(first?.version);
      expect(await reveal('doomed')).toEqual({ n: 2 });
    });

    test('what a secret may be used for and when it ends stands beside it, and stays with new versions', async (context) => {
      if (!harness.capabilities.writes) return context.skip('this backend is read-only');
      const { directory } = harness;
      const scope = {
        collections: ['handbook', 'büro 日本'],
        paths: ['s3://bucket/with space/&=#', `s3://long/${'x'.repeat(300)}`],
      };
      const expiresAt = '2031-02-03T04:05:06.000Z';
      await directory.put('scoped', 's3', new Secret({ n: 1 }), { scope, expiresAt });
      const access = async () => harness.reader.access(ref('scoped'), purpose);
      expect((await access()).scope).toEqual(scope);
      if (harness.capabilities.notesWithValue) return;
      expect(await directory.describe('scoped')).toMatchObject({ scope, expiresAt });
      await directory.put('scoped', 's3', new Secret({ n: 2 }));
      expect(await directory.describe('scoped')).toMatchObject({ scope, expiresAt: null });
      expect(await access()).toMatchObject({ scope });
      await directory.put('scoped', 's3', new Secret({ n: 3 }), { scope: { paths: ['s3://other'] } });
      expect(await access()).toMatchObject({ scope: { paths: ['s3://other'] } });
      const before = harness.valuesRead();
      const [listed] = (await Array.fromAsync(directory.list())).filter(({ id }) => id === 'scoped');
      expect(listed?.scope).toEqual({ paths: ['s3://other'] });
      expect(harness.valuesRead()).toBe(before);
      await directory.put('scoped', 's3', new Secret({ n: 4 }), { scope: {} });
      expect((await access()).scope).toBe(null);
      const endless = { paths: Array.from({ length: 100 }, (_, n) => `s3://bucket/folder-${n}`) };
      await expect(directory.put('scoped', 's3', new Secret({}), { scope: endless })).rejects.toMatchObject({
        code: 'scope_too_long',
      });
    });

    test('a secret of another tool is read by its own name, and is in no listing', async (context) => {
      if (!harness.seedForeign) return context.skip('this backend has none');
      const name = await harness.seedForeign({ KEY: 'ümläut', other: '2' });
      const foreign = { ...ref(name), foreign: true as const };
      const accessed = await harness.reader.access(foreign, purpose);
      expect(accessed.value.reveal()).toEqual({ KEY: 'ümläut', other: '2' });
      expect(accessed).toMatchObject({ connectorType: null, scope: null });
      expect((await harness.reader.access({ ...foreign, version: accessed.ref.version }, purpose)).ref).toEqual(
        accessed.ref,
      );
      const ids = (await Array.fromAsync(harness.directory.list())).map(({ id }) => id);
      expect(ids).not.toContain(name);
      for (const bad of ['nobody', '../nobody', 'no/body']) {
        await expect(harness.reader.access({ ...foreign, secretId: bad }, purpose)).rejects.toBeInstanceOf(
          CredentialNotFoundError,
        );
      }
    });

    test('IDs that look alike are different secrets', async (context) => {
      if (!harness.capabilities.writes) return context.skip('this backend is read-only');
      const alike = ['look-alike', 'look_alike', 'look.alike', 'Look-Alike', 'lookalike'];
      for (const id of alike) await harness.seed(id, 's3', { id });
      for (const id of alike) expect(await reveal(id)).toEqual({ id });
      for (const id of ['', '../up', 'a/b', '-dash', 'x'.repeat(129), 'nul\0']) {
        await expect(harness.directory.put(id, 's3', new Secret({})), id).rejects.toMatchObject({
          code: 'invalid_secret_id',
        });
      }
    });

    test("one workspace does not see another's secrets", async (context) => {
      const other = harness.otherWorkspace();
      if (!other) return context.skip('this backend does not keep workspaces apart');
      await harness.seed('private', 's3', { of: 'default' });
      expect(await Array.fromAsync(other.directory.list())).toEqual([]);
      await expect(
        harness.reader.access({ ...ref('private'), workspace: other.workspace }, purpose),
      ).rejects.toBeInstanceOf(CredentialNotFoundError);
    });
  });
}
