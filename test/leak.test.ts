import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { s3 } from '../connectors/s3/connector.ts';
import { Secret } from '../src/contract/secret.ts';
import { everything, findIn, findInFiles } from './canary.ts';
import { Deployment } from './deployment.ts';
import { runtimeFor } from './runtime.ts';
import type { Fault } from './servers/fault.ts';

/** Every way in which the S3 server can answer, those included that send back what was sent. */
function faults(secrets: readonly string[]): (Fault | null)[] {
  const echo = secrets.join(' ');
  return [
    null,
    { kind: 'error', status: 403, code: 'AccessDenied' },
    { kind: 'error', status: 403, code: 'SignatureDoesNotMatch', message: echo },
    { kind: 'error', status: 400, code: echo.replaceAll(/[^A-Za-z0-9]/g, ''), message: echo },
    { kind: 'error', status: 500, code: 'InternalError', message: echo, headers: { 'x-amz-request-id': echo } },
    { kind: 'error', status: 503, code: 'SlowDown', headers: { 'retry-after': '0' } },
    {
      kind: 'error',
      status: 307,
      code: 'TemporaryRedirect',
      headers: { location: `http://127.0.0.1:9/?leak=${encodeURIComponent(echo)}` },
    },
    { kind: 'error', status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': echo } },
    { kind: 'error', status: 200, code: 'Rubbish', message: `<${echo}` },
    { kind: 'reset' },
    { kind: 'cut', after: 10 },
    { kind: 'corrupt' },
    { kind: 'short' },
  ];
}

test('after syncs, failures and rubbish the credential is in no table, file, log line or answer', async () => {
  await using deployment = await Deployment.start();
  const token = `FakeSessionToken/${Math.random().toString(36).slice(2)}+canary==`;
  deployment.s3.keys.set(deployment.accessKeyId, { secretAccessKey: deployment.secretAccessKey, sessionToken: token });
  const values = [deployment.secretAccessKey, token, deployment.accessKeyId];
  deployment.environment = {
    ...deployment.environment,
    LOCKGATE_LOG_LEVEL: 'debug',
    NODE_DEBUG: 'http',
    AWS_LOG_LEVEL: 'trace',
  };
  for (let i = 0; i < 5; i++) deployment.s3.put('docs', `doc ${i}`, `text ${i}`.repeat(100));
  const said: string[] = [];
  const say = async (...words: string[]) => {
    const answer = await deployment.run(...words);
    said.push(answer.stdout, withoutHttpDebug(answer.stderr));
    return answer;
  };

  const bad = { ...deployment.credential({ session_token: token }), secret_key: deployment.secretAccessKey };
  for (const input of [
    JSON.stringify(bad),
    `${deployment.secretAccessKey}`,
    `{"access_key_id": ${deployment.secretAccessKey}`,
  ]) {
    const answer = await deployment.start(['secrets', 'put', 'my-creds', '--type', 's3'], input).ended;
    expect(answer.code).toBe(2);
    said.push(answer.stdout, withoutHttpDebug(answer.stderr));
  }
  await deployment.putSecret('my-creds', deployment.credential({ session_token: token }));
  const sourceId = await deployment.connect();
  for (const [round, fault] of faults(values).entries()) {
    // A source that throttles is waited for, for hours if need be.
    let left = fault?.kind === 'error' && fault.code === 'SlowDown' ? 3 : Number.POSITIVE_INFINITY;
    deployment.s3.fault = () => (left-- > 0 ? (fault ?? undefined) : undefined);
    deployment.s3.put('docs', `doc ${round}`, `new text ${round}`);
    await say('sync', 'handbook', ...(round % 2 ? ['--json'] : []));
    await say('sources', 'check', sourceId);
  }
  deployment.s3.fault = () => undefined;
  // A worker does the same, by the queue.
  const worker = deployment.start(['worker', '--concurrency', '2']);
  for (const fault of faults(values).slice(0, 4)) {
    deployment.s3.put('docs', 'doc 0', `by a worker ${fault?.kind}`);
    deployment.s3.fault = () => fault ?? undefined;
    const { items } = await deployment.json<{ items: { id: string; state: string }[] }>('runs', 'list');
    await say('runs', 'retry', items[0]?.id ?? '');
  }
  deployment.s3.fault = () => undefined;
  worker.child.kill('SIGTERM');
  const { stdout, stderr } = await worker.ended;
  expect(stdout + stderr).toContain('worker stopped');
  said.push(stdout, withoutHttpDebug(stderr));
  const wrong = `wrong/${Math.random().toString(36).slice(2)}+canary`;
  await deployment.putSecret('my-creds', deployment.credential({ secret_access_key: wrong }));
  values.push(wrong);
  expect((await say('sync', 'handbook')).code).toBe(1);
  for (const words of [
    ['secrets', 'list'],
    ['secrets', 'describe', 'my-creds'],
    ['sources', 'list'],
    ['runs', 'list'],
    ['doctor'],
    ['changes', 'handbook'],
  ]) {
    await say(...words);
    await say(...words, '--json');
  }
  expect(findIn(Buffer.from(said.join('\n')), values)).toEqual([]);
  expect(findIn(Buffer.from(await deployment.everyRow(['lockgate.document', 'lockgate_queue.job'])), values)).toEqual(
    [],
  );
  // The database's files and its log are among these, and so is the queue.
  expect(await findInFiles(deployment.folder, values)).toEqual([]);
  const audit = await readFile(join(deployment.dataDir, 'audit', 'access.jsonl'), 'utf8');
  expect(audit).toContain('"action":"secret.access"');

  // The search finds what is there: a leak planted in a table, in base64, and one in a file.
  await deployment.json(
    'collections',
    'create',
    `x${Buffer.from(`x${deployment.secretAccessKey}`).toString('base64url').slice(0, 60)}`,
  );
  await writeFile(join(deployment.folder, 'planted.log'), JSON.stringify({ password: wrong }));
  const planted = await findInFiles(deployment.folder, values);
  expect(planted.some((hit) => hit.includes('planted.log'))).toBe(true);
  expect(planted.some((hit) => hit.includes('postgres'))).toBe(true);
}, 300_000);

/** NODE_DEBUG makes Node itself print the bytes of requests; that is its operator's wish and not our log. */
function withoutHttpDebug(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^HTTP \d+: |^(GET|HEAD) \/|^[a-z-]+: /i.test(line))
    .join('\n');
}

test('no error, source or connector shows the credential, however deep one looks', async () => {
  await using deployment = await Deployment.start();
  const values = [deployment.secretAccessKey, deployment.accessKeyId];
  deployment.s3.put('docs', 'a', 'text');
  const runtime = runtimeFor(deployment.s3.endpoint);
  const credential = new Secret(s3.parseCredential(deployment.credential()));
  await using source = s3.open(credential, s3.parseLocation('s3://docs'), runtime);
  const entry = (await source.listPage(null, AbortSignal.timeout(5000))).entries[0];
  if (!entry) throw new Error('nothing listed');
  for (const fault of faults(values)) {
    deployment.s3.fault = () => fault ?? undefined;
    for (const call of [
      () => source.listPage(null, AbortSignal.timeout(5000)),
      () => source.read(entry, undefined, AbortSignal.timeout(5000)),
    ]) {
      const error = await call().catch((failure: unknown) => failure);
      expect(findIn(Buffer.from(everything(error)), values)).toEqual([]);
    }
  }
  expect(findIn(Buffer.from(everything([source, credential])), values)).toEqual([]);
  // The walk does look: the same value, hidden in a property that does not show.
  const hiding = Object.defineProperty(new Error('x'), 'request', {
    value: { url: `http://x/?sig=${values[0]}` },
    enumerable: false,
  });
  expect(findIn(Buffer.from(everything(hiding)), values)).not.toEqual([]);
});
