import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { Secret } from '../../src/contract/secret.ts';
import { hashOf, nameFor } from '../../src/secrets/identifier.ts';
import { declaredManager, permitsForeign, withoutValues } from '../../src/secrets/managers.ts';
import { formatReference, hasReferences, parseFieldReference, parseReference } from '../../src/secrets/reference.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockgate-managers-'));
afterAll(() => rmSync(folder, { recursive: true }));

function declare(text: string, more: Record<string, string> = {}) {
  const path = join(folder, `${Math.random().toString(36).slice(2)}.yaml`);
  writeFileSync(path, text);
  return readConfig({ LOCKGATE_SECRET_MANAGERS: path, ...more }).secretManagers;
}

const TWO = `
default: main
managers:
  main: { backend: file }
  team-vault:
    backend: vault
    addr: https://vault.internal:8200
    auth: approle
    role_id: fake-role
    secret_id_file: secret-id
    paths: [team/, exact]
    workspaces: [team]
  cloud: { backend: gcp, project: fake-project, paths: ['*'] }
  off: { backend: aws, enabled: false }
`;

describe('declared secret managers', () => {
  test('have names, a default, permitted paths and workspaces; their files lie beside the declaration', () => {
    const managers = declare(TWO);
    expect([...managers.byName.keys()]).toEqual(['main', 'team-vault', 'cloud']);
    expect(managers.default).toBe('main');
    expect(declaredManager(managers, 'default', 'any')?.name).toBe('main');
    expect(declaredManager(managers, 'team-vault', 'other')).toBe(null);
    const vault = declaredManager(managers, 'team-vault', 'team');
    if (vault?.settings.backend !== 'vault') throw new Error('not declared');
    expect(vault.settings.auth).toMatchObject({ kind: 'approle', secretId: { file: join(folder, 'secret-id') } });
    for (const [name, permitted] of [
      ['team/app', true],
      ['team/a/b', true],
      ['exact', true],
      ['other/app', false],
      ['team/../other', false],
      ['team//x', false],
    ] as const)
      expect(permitsForeign(vault, name), name).toBe(permitted);
    expect(declare(TWO, { LOCKGATE_SECRET_MANAGER: 'cloud' }).default).toBe('cloud');
    expect(declare(JSON.stringify({ default: 'a', managers: { a: { backend: 'file' } } })).default).toBe('a');
  });

  test('that cannot work are refused by name, and what stands in the file is not repeated', () => {
    for (const [text, complaint] of [
      ['{', /neither YAML nor JSON/],
      ['default: a', /managers/],
      ['default: b\nmanagers: { a: { backend: file } }', /"b"/],
      ['default: a\nmanagers: { a: { backend: ldap } }', /backend/],
      ['default: a\nmanagers: { A B: { backend: file } }', /name/],
      ['default: a\nmanagers: { a: { backend: vault, addr: nowhere } }', /LOCKGATE_VAULT_ADDR/],
      ['default: a\nmanagers: { a: { backend: vault, token: hvs.canary } }', /"token"/],
      ['default: a\nmanagers: { a: { backend: file }, b: { backend: file } }', /folder/],
    ] as const) {
      let said = '';
      try {
        declare(text);
      } catch (error) {
        said = `${(error as Error).message} ${(error as { hint?: string }).hint}`;
      }
      expect(said, text).toMatch(complaint);
      expect(said).not.toContain('canary');
    }
    expect(() => readConfig({ LOCKGATE_SECRET_MANAGERS: '/nowhere' })).toThrow(/cannot be read/);
  });
});

test('a process that only adds and lists forgets the values that the environment held', () => {
  const environment = {
    LOCKGATE_SECRET_MANAGER: 'env',
    LOCKGATE_SECRET_MY_CREDS: '{"secret_access_key":"fake-canary"}',
    LOCKGATE_SECRET_MY_CREDS_TYPE: 's3',
  };
  const { secretManagers } = readConfig(environment);
  const settings = (managers: typeof secretManagers) => managers.byName.get('default')?.settings;
  const kept = settings(secretManagers);
  const stripped = settings(withoutValues(secretManagers));
  if (kept?.backend !== 'env' || stripped?.backend !== 'env') throw new Error('not env');
  expect(kept.secrets[0]?.value.kind).toBe('json');
  expect(stripped.secrets).toMatchObject([{ id: 'my-creds', connectorType: 's3', value: { kind: 'file', path: '' } }]);
});

describe('references', () => {
  const managers = declare(TWO);
  const parse = (given: unknown) => parseReference(given, managers, 'main');

  test('are an ID, a path in a manager, one version of it, or another tool’s object', () => {
    expect(parse('my-creds')).toEqual({ manager: 'main', secretId: 'my-creds', version: null });
    expect(parse('team-vault:path/to/secret')).toEqual({
      manager: 'team-vault',
      secretId: 'path/to/secret',
      version: null,
    });
    expect(parse('team-vault:path#3').version).toBe('3');
    const theirs = { type: 'GcpSecretManager', secretName: 'PROD-TOCK-ns-bot-GenAI' };
    const expected = { manager: 'cloud', secretId: 'PROD-TOCK-ns-bot-GenAI', version: null };
    expect(parse(theirs)).toEqual(expected);
    expect(parse(JSON.stringify(theirs))).toEqual(expected);
    expect(formatReference(parse('team-vault:path#3'), 'main')).toBe('team-vault:path#3');
    expect(formatReference(parse('my-creds'), 'main')).toBe('my-creds');
    for (const bad of ['', ':x', 'a:', 'a b', 'x#', '../x', '{', '{"type":"Other","secretName":"x"}', 7, null]) {
      expect(() => parse(bad), String(bad)).toThrow(/names no credential|no secret manager/);
    }
    expect(() => parse({ type: 'AwsSecretsManager', secretName: 'x' })).toThrow(/no secret manager of the kind/);
  });

  test('of single fields name a manager, a path and a key', () => {
    expect(parseFieldReference('vault.secret(my-vault:team/aws.prod.access_key)')).toEqual({
      manager: 'my-vault',
      secretId: 'team/aws.prod',
      version: null,
      key: 'access_key',
    });
    expect(parseFieldReference('vault.secret(my-vault:team/aws#2.key)')).toMatchObject({ version: '2', key: 'key' });
    expect(parseFieldReference('vault.secret(my-vault:team/whole)')).toMatchObject({ key: null });
    for (const none of ['vault.secret()', 'x vault.secret(a:b.c)', 'vault.secret(a:b.c) ', 'vault.secret(A:b.c)'])
      expect(parseFieldReference(none)).toBe(null);
    expect(hasReferences(new Secret({ a: { b: ['vault.secret(m:p.k)'] } }))).toBe(true);
    expect(hasReferences(new Secret({ a: 'x', b: null, c: 1 }))).toBe(false);
  });
});

describe('names', () => {
  const rules = { template: '{prefix}-{workspace}-{id}-{hash}', refused: /[^A-Za-z0-9_-]/g, maxLength: 255 };

  test('with a hash differ for whatever differs, and fit', () => {
    const part = fc.string({ minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(part, part, part, part, (workspace, id, otherWorkspace, otherId) => {
        const naming = { prefix: 'lockgate', template: null };
        const name = nameFor(naming, rules, workspace, id);
        expect(name.length).toBeLessThanOrEqual(255);
        expect(name).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(name.endsWith(hashOf(workspace, id, 12))).toBe(true);
        if (workspace !== otherWorkspace || id !== otherId)
          expect(nameFor(naming, rules, otherWorkspace, otherId)).not.toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  test('by a template without one are what others expect', () => {
    const naming = { prefix: 'PROD', template: '{prefix}-TOCK-{workspace}-{id}' };
    expect(nameFor(naming, rules, 'my_namespace', 'my bot.1/GenAI')).toBe('PROD-TOCK-my_namespace-my-bot1GenAI');
    expect(nameFor(naming, rules, 'w', 'x'.repeat(400)).length).toBe(255);
  });
});
