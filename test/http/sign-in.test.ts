import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findIn } from '../canary.ts';
import { Issuer } from '../servers/issuer.ts';
import { Service } from '../service.ts';

const CLIENT_SECRET = `fake-client-secret-${Math.random().toString(36).slice(2)}`;
const OWN = { 'lockgate-request': 'page' };

let issuer: Issuer;
let service: Service;
let folder: string;
beforeAll(async () => {
  issuer = await new Issuer().listen();
  issuer.clientSecret = CLIENT_SECRET;
  folder = await mkdtemp(join(tmpdir(), 'lockgate-sign-in-'));
  await writeFile(join(folder, 'secret'), CLIENT_SECRET);
  await writeFile(
    join(folder, 'rules.yaml'),
    '- { claim: groups, value: data-team, workspace: default, role: editor }\n',
  );
  service = await Service.start();
  await service.again({
    LOCKGATE_PUBLIC_URL: service.url,
    LOCKGATE_OIDC_ISSUER: issuer.endpoint,
    LOCKGATE_OIDC_AUDIENCE: 'lockgate',
    LOCKGATE_OIDC_RULES: join(folder, 'rules.yaml'),
    LOCKGATE_OIDC_CLIENT_ID: 'lockgate-pages',
    LOCKGATE_OIDC_CLIENT_SECRET_FILE: join(folder, 'secret'),
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await issuer[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const cookieOf = (response: { headers: Headers }): string =>
  response.headers.getSetCookie().find((each) => /^lockgate=[^;]/.test(each)) ?? '';
const words = (cookie: string) => cookie.split(';')[0] ?? '';

async function signIn(token: string): Promise<string> {
  const answer = await service.request('POST', '/auth/session', { token: null, body: { token }, headers: OWN });
  expect(answer.status).toBe(200);
  return cookieOf(answer);
}

const me = (cookie: string, headers: Record<string, string> = {}) =>
  service.request('GET', '/v1/me', { token: null, headers: { cookie, ...headers } });

test('a token becomes a session that no script can read, and that ends with it', async () => {
  const { token, id } = await service.client().call('tokens.create', { name: 'browser', role: 'editor' });
  const cookie = await signIn(token);
  expect(cookie).toMatch(/HttpOnly/);
  expect(cookie).toMatch(/SameSite=Strict/);
  expect(findIn(Buffer.from(cookie), [token])).toEqual([]);
  expect((await me(words(cookie))).json).toMatchObject({
    actor: `token browser (${id})`,
    permissions: ['read', 'edit'],
    workspace: 'default',
  });
  await service.client().call('tokens.revoke', { id });
  expect((await me(words(cookie))).status).toBe(401);
  expect((await service.request('POST', '/auth/session', { token: null, body: { token }, headers: OWN })).status).toBe(
    401,
  );
});

test('signing out ends it for whoever has the cookie', async () => {
  const cookie = words(await signIn(service.token));
  expect((await me(cookie)).status).toBe(200);
  const out = await service.request('DELETE', '/auth/session', { token: null, headers: { cookie, ...OWN } });
  expect(out.status).toBe(200);
  expect((await me(cookie)).status).toBe(401);
  expect((await me('lockgate=made-up')).status).toBe(401);
});

test('another site that has the browser send the cookie changes nothing', async () => {
  const cookie = words(await signIn(service.token));
  const forged = { token: null, body: { name: 'forged' }, headers: { cookie } };
  expect((await service.request('POST', '/v1/collections', forged)).status).toBe(403);
  expect((await service.request('DELETE', '/auth/session', { token: null, headers: { cookie } })).status).toBe(403);
  expect((await me(cookie)).status).toBe(200);
  const own = { ...forged, headers: { cookie, ...OWN } };
  expect((await service.request('POST', '/v1/collections', own)).status).toBe(200);
  // A token that is sent as well is what counts.
  expect((await me(cookie, { authorization: 'Bearer lgt_wrong' })).status).toBe(401);
});

test('rubbish instead of a token is refused, counted, and not repeated', async () => {
  for (const body of [{}, { token: 7 }, { token: '' }, { token: 'lgt_' }, [], 'x']) {
    const answer = await service.request('POST', '/auth/session', { token: null, body, headers: OWN });
    expect([400, 401]).toContain(answer.status);
    expect(cookieOf(answer)).toBe('');
  }
  const canary = `lgt_${'a'.repeat(12)}_${Math.random().toString(36).slice(2)}CANARY`;
  const answer = await service.request('POST', '/auth/session', { token: null, body: { token: canary }, headers: OWN });
  expect(answer.status).toBe(401);
  expect(answer.text).not.toContain(canary);
  expect(service.said.join('\n')).not.toContain(canary);
});

/** What a browser does: follows each redirect with the cookies that it has. */
async function byIssuer(change: (url: URL) => void = () => undefined) {
  const start = await service.request('GET', '/auth/oidc/start', { token: null });
  expect(start.status).toBe(302);
  const kept = words(start.headers.getSetCookie()[0] ?? '');
  const away = await fetch(start.headers.get('location') ?? '', { redirect: 'manual' });
  const back = new URL(away.headers.get('location') ?? '');
  change(back);
  const end = await service.request('GET', `${back.pathname}${back.search}`, {
    token: null,
    headers: { cookie: kept },
  });
  return { end, start };
}

test('whom the identity provider knows is let in with the role that the rules give', async () => {
  issuer.signsIn = { subject: 'ada', claims: { groups: ['data-team'] } };
  expect((await service.request('GET', '/auth/ways', { token: null })).json).toEqual({ oidc: true });
  const { end, start } = await byIssuer();
  expect(end.headers.get('location')).toBe('/');
  expect(start.headers.getSetCookie()[0]).toMatch(/HttpOnly.*SameSite=Lax|SameSite=Lax.*HttpOnly/);
  expect((await me(words(cookieOf(end)))).json).toMatchObject({ actor: 'oidc ada', permissions: ['read', 'edit'] });
});

test('whoever has no role, brings another state, another code or no cookie, is not', async () => {
  issuer.signsIn = { subject: 'eve', claims: { groups: ['others'] } };
  expect((await byIssuer()).end.headers.get('location')).toBe('/sign-in?failed=role');
  issuer.signsIn = { subject: 'ada', claims: { groups: ['data-team'] } };
  for (const change of [
    (url: URL) => url.searchParams.set('state', 'other'),
    (url: URL) => url.searchParams.set('code', 'other'),
    (url: URL) => url.searchParams.delete('code'),
  ]) {
    const { end } = await byIssuer(change);
    expect(end.headers.get('location')).toBe('/sign-in?failed=issuer');
    expect(cookieOf(end)).toBe('');
  }
  const without = await service.request('GET', '/auth/oidc/callback?code=x&state=y', { token: null });
  expect(without.headers.get('location')).toBe('/sign-in?failed=issuer');
  issuer.signsIn = null;
  expect((await byIssuer()).end.headers.get('location')).toBe('/sign-in?failed=issuer');
});

test('neither what proves who somebody is nor what the client proves itself with is anywhere', async () => {
  const rows = await service.deployment.everyRow();
  expect(findIn(Buffer.from(rows), [service.token, CLIENT_SECRET])).toEqual([]);
  expect(findIn(Buffer.from(service.said.join('\n')), [CLIENT_SECRET])).toEqual([]);
});
