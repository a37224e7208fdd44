import { writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { get, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { trustedCertificate } from '../servers/tls.ts';
import { Service } from '../service.ts';

const OBJECTS = 300;

test('SIGTERM in the middle of a run loses nothing, and the next start goes on from there', async () => {
  await using service = await Service.start();
  const { s3 } = service.deployment;
  for (let i = 0; i < OBJECTS; i++) s3.put('docs', `doc ${i}`, `text ${i}`);
  s3.fault = ({ operation }) => (operation === 'GetObject' ? { kind: 'delay', ms: 60 } : undefined);
  const call: ReturnType<Service['client']>['call'] = (name, given) => service.client().call(name, given);
  await call('secrets.put', { id: 'my-creds', type: 's3', credential: service.deployment.credential() });
  await call('collections.create', { name: 'handbook' });
  const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://docs' };
  const source = await call('sources.create', { collection: 'handbook', ...place });
  const { id } = await call('sources.sync', { id: source.id });
  let stops = 0;
  for (; stops < 4; stops++) {
    for (let tries = 0; tries < 200; tries++) {
      const run = await call('runs.get', { id });
      if (run.state === 'completed' || run.added >= (stops + 1) * 40) break;
      await wait(50);
    }
    const began = Date.now();
    expect(await service.down()).toBe(0);
    expect(Date.now() - began).toBeLessThan(20_000);
    await service.up();
  }
  s3.fault = () => undefined;
  for (;;) {
    const run = await call('runs.get', { id });
    if (run.state === 'completed') break;
    expect(['queued', 'running']).toContain(run.state);
    await wait(100);
  }
  const run = await call('runs.get', { id });
  expect(run.added).toBe(OBJECTS);
  expect((await call('documents.list', { collection: 'handbook' })).total).toBe(OBJECTS);
  const { items } = await call('changes.list', { collection: 'handbook', limit: 1000 });
  expect(items.map(({ number }) => number)).toEqual(Array.from({ length: OBJECTS }, (_, n) => n + 1));
  expect(new Set(items.map(({ path }) => path)).size).toBe(OBJECTS);

  // A worker that is killed is started again, and takes its run up.
  s3.put('docs', 'after', 'the kill');
  const workers = (service.said.join('').match(/"pid":(\d+)[^}]*"msg":"worker started"/g) ?? []).map((text) =>
    Number(/\d+/.exec(text)?.[0]),
  );
  process.kill(workers.at(-1) as number, 'SIGKILL');
  const again = await call('sources.sync', { id: source.id });
  for (let tries = 0; (await call('runs.get', { id: again.id })).state !== 'completed' && tries < 300; tries++)
    await wait(100);
  expect(await call('runs.get', { id: again.id })).toMatchObject({ state: 'completed', added: 1 });
  expect(service.said.join('')).toContain('the worker ended, and is started again');
  // Nor does a worker outlive a service that is killed.
  const last = Number([...service.said.join('').matchAll(/"pid":(\d+)[^}]*"msg":"worker started"/g)].at(-1)?.[1]);
  await service.down('SIGKILL');
  const alive = () => {
    try {
      return process.kill(last, 0);
    } catch {
      return false;
    }
  };
  for (let tries = 0; alive() && tries < 150; tries++) await wait(100);
  expect(alive()).toBe(false);
  await service.up();
}, 180_000);

test('what others could overhear is not served, and the command line speaks with the service', async () => {
  await using service = await Service.start();
  const { deployment } = service;
  const own = deployment.environment;
  for (const [more, complaint] of [
    [{ LOCKGATE_HOST: '0.0.0.0' }, 'LOCKGATE_TLS_CERT_FILE'],
    [{ LOCKGATE_TLS_CERT_FILE: '/x' }, 'belong together'],
    [{ LOCKGATE_PORT: '70000' }, 'LOCKGATE_PORT'],
    [{ LOCKGATE_OIDC_ISSUER: 'https://issuer.example' }, 'LOCKGATE_OIDC_AUDIENCE'],
  ] as const) {
    deployment.environment = { ...own, ...more };
    const { code, stderr } = await deployment.run('serve');
    expect(code).toBe(1);
    expect(stderr).toContain(complaint);
  }
  deployment.environment = {
    PATH: own.PATH ?? '',
    HOME: own.HOME ?? '',
    LOCKGATE_URL: service.url,
    LOCKGATE_TOKEN: service.token,
  };
  deployment.s3.put('docs', 'a.txt', 'text');
  await deployment.putSecret();
  const sourceId = await deployment.connect();
  expect((await deployment.run('sources', 'check', sourceId)).stdout).toMatch(/readable +yes/);
  const synced = await deployment.run('sync', 'handbook');
  expect(synced.stdout, synced.stderr).toContain('1 added');
  const listed = await deployment.json<{ total: number; items: { id: string }[] }>('documents', 'list', 'handbook');
  expect(listed.total).toBe(1);
  expect((await deployment.run('documents', 'get', listed.items[0]?.id ?? '')).stdout).toBe('text');
  const remote = (await deployment.run('changes', 'handbook', '--json')).stdout;
  const plan = await deployment.run('sync', 'handbook', '--dry-run');
  expect(plan.stdout).toContain('1 are unchanged');
  expect((await deployment.run('secrets', 'rekey')).stderr).toContain('where Lockgate itself runs');
  expect((await deployment.run('explain', sourceId, 'a.txt')).stdout).toContain('It is a document');
  deployment.environment.LOCKGATE_TOKEN = 'lgt_wrong';
  const refused = await deployment.run('collections', 'list');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('no valid token') });
  deployment.environment = own;
  // The same words, whoever did the work.
  expect((await deployment.run('changes', 'handbook', '--json')).stdout).toBe(remote);
});

test('it speaks TLS with its own certificate, and bounds what each caller may ask', async () => {
  const certificate = await trustedCertificate();
  await using service = await Service.start();
  const { environment, folder } = service.deployment;
  await writeFile(join(folder, 'cert.pem'), certificate.cert);
  await writeFile(join(folder, 'key.pem'), certificate.key, { mode: 0o600 });
  await service.down();
  environment.LOCKGATE_TLS_CERT_FILE = join(folder, 'cert.pem');
  environment.LOCKGATE_TLS_KEY_FILE = join(folder, 'key.pem');
  environment.LOCKGATE_REQUESTS_PER_MINUTE = '40';
  await service.up();
  expect(service.url).toMatch(/^https:/);
  const ask = (token: string | null) =>
    new Promise<{ status: number | undefined; headers: IncomingHttpHeaders; body: string }>((resolve, reject) => {
      const headers = token ? { authorization: `Bearer ${token}` } : {};
      const { port } = new URL(service.url);
      get(
        { host: '127.0.0.1', port, path: '/v1/collections', headers, ca: certificate.cert, agent: false },
        (response) => {
          let body = '';
          response.on('data', (chunk) => {
            body += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
        },
      ).once('error', reject);
    });
  const first = await ask(service.token);
  const viewer = await made(service, certificate.cert);
  expect((await ask(viewer)).status).toBe(200);
  expect(first.status).toBe(200);
  expect(first.headers['strict-transport-security']).toBeTruthy();
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(service.token)));
  expect(answers.filter(({ status }) => status === 200).length).toBe(38);
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBe(12);
  expect(JSON.parse(refused[0]?.body ?? '')).toMatchObject({ error: { code: 'rate_limited' } });
  expect(Number(refused[0]?.headers['retry-after'])).toBeGreaterThan(0);
  // Another caller has a budget of their own; those who guess have one by their address, whatever they guess.
  const guesses: (number | undefined)[] = [];
  for (let n = 0; n < 20; n++) guesses.push((await ask(`lgt_00000000000${n % 10}_${'x'.repeat(42)}${n % 10}`)).status);
  expect(guesses.filter((status) => status === 401).length).toBe(10);
  expect(guesses.slice(10)).toEqual(Array(10).fill(429));
  expect((await ask(viewer)).status).toBe(200);
});

/** A token that is made over a connection which trusts the certificate. */
async function made(service: Service, ca: string): Promise<string> {
  const answer = await new Promise<string>((resolve, reject) => {
    const body = JSON.stringify({ name: 'viewer', role: 'viewer' });
    const { port } = new URL(service.url);
    const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' };
    const options = { host: '127.0.0.1', port, path: '/v1/tokens', method: 'POST', headers, ca, agent: false };
    request(options, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    })
      .once('error', reject)
      .end(body);
  });
  return (JSON.parse(answer) as { token: string }).token;
}
