import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Issuer } from '../servers/issuer.ts';
import { Service } from '../service.ts';

let issuer: Issuer;
let service: Service;
let folder: string;
let key: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];
beforeAll(async () => {
  issuer = await new Issuer().listen();
  folder = await mkdtemp(join(tmpdir(), 'lockgate-oidc-'));
  const pair = await generateKeyPair('RS256');
  key = pair.privateKey;
  issuer.keys = [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }];
  await writeFile(
    join(folder, 'rules.yaml'),
    `- { claim: groups, value: data-team, workspace: default, role: editor }
- { claim: groups, value: auditors, workspace: '*', role: auditor }
- { claim: sub, value: 'system:serviceaccount:apps:feeder', workspace: default, role: viewer }
`,
  );
  service = await Service.start();
  await service.again({
    LOCKGATE_OIDC_ISSUER: issuer.endpoint,
    LOCKGATE_OIDC_AUDIENCE: 'lockgate',
    LOCKGATE_OIDC_RULES: join(folder, 'rules.yaml'),
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await issuer[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

interface Claims {
  readonly sub?: string;
  readonly groups?: string[];
  readonly issuer?: string;
  readonly audience?: string;
  readonly expires?: string | number;
  readonly kid?: string;
}

function tokenFor(
  {
    sub = 'ada',
    groups = [],
    issuer: iss = issuer.endpoint,
    audience = 'lockgate',
    expires = '5m',
    kid = 'one',
  }: Claims,
  own = key,
) {
  const jwt = new SignJWT({ groups }).setProtectedHeader({ alg: 'RS256', kid }).setSubject(sub).setIssuer(iss);
  return jwt.setAudience(audience).setIssuedAt().setExpirationTime(expires).sign(own);
}

const get = async (path: string, token: string, headers: Record<string, string> = {}) =>
  (await service.request('GET', path, { token, headers })).status;

test('claims become roles, of people and of service accounts', async () => {
  const editor = await tokenFor({ groups: ['data-team', 'others'] });
  expect(await get('/v1/collections', editor)).toBe(200);
  expect((await service.request('POST', '/v1/collections', { token: editor, body: { name: 'made' } })).status).toBe(
    200,
  );
  expect(await get('/v1/audit', editor)).toBe(403);
  const feeder = await tokenFor({ sub: 'system:serviceaccount:apps:feeder' });
  expect(await get('/v1/collections', feeder)).toBe(200);
  expect((await service.request('POST', '/v1/collections', { token: feeder, body: { name: 'x' } })).status).toBe(403);
  const auditor = await tokenFor({ groups: ['auditors'] });
  expect(await get('/v1/audit', auditor)).toBe(200);
  expect(await get('/v1/audit', auditor, { 'lockgate-workspace': 'nowhere' })).toBe(403);
  expect(await get('/v1/collections', await tokenFor({ groups: ['strangers'] }))).toBe(403);
});

test('tokens of others, for others, of yesterday, or with a signature of nobody are refused', async () => {
  const stranger = (await generateKeyPair('RS256')).privateKey;
  const groups = ['data-team'];
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ sub: 'x', groups, iss: issuer.endpoint, aud: 'lockgate', exp: 9e9 })).toString('base64url')}.`;
  const shared = new SignJWT({ groups }).setProtectedHeader({ alg: 'HS256', kid: 'one' }).setSubject('x');
  const confused = await shared
    .setIssuer(issuer.endpoint)
    .setAudience('lockgate')
    .setExpirationTime('5m')
    .sign(Buffer.from(JSON.stringify(issuer.keys[0])));
  for (const [what, token] of [
    ['another key', await tokenFor({ groups }, stranger)],
    ['another issuer', await tokenFor({ groups, issuer: 'https://issuer.example' })],
    ['another audience', await tokenFor({ groups, audience: 'others' })],
    ['yesterday', await tokenFor({ groups, expires: Math.floor(Date.now() / 1000) - 86_400 })],
    ['an unknown key', await tokenFor({ groups, kid: 'two' })],
    ['no signature', none],
    ['a shared secret', confused],
    ['rubbish', 'eyJ.x.y'],
  ] as const)
    expect(await get('/v1/collections', token), what).toBe(401);
  expect(await get('/v1/collections', await tokenFor({ groups }))).toBe(200);
});
