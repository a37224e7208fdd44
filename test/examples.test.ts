import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Service } from './service.ts';

const EXAMPLES = fileURLToPath(new URL('../examples/', import.meta.url));

/** An example as somebody runs it. */
class Example implements AsyncDisposable {
  readonly child: ChildProcess;
  out = '';

  constructor(name: string, words: readonly string[], environment: Record<string, string>) {
    const env = { PATH: process.env.PATH ?? '', ...environment };
    this.child = spawn(process.execPath, [join(EXAMPLES, name), ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.out += chunk.toString();
      });
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (let tries = 0; tries < 300; tries++) {
      const found = pattern.exec(this.out);
      if (found) return found;
      await wait(100);
    }
    throw new Error(`never said ${pattern}: ${this.out}`);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    await new Promise((resolve) => this.child.once('exit', resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}

let service: Service;
let folder: string;
let sourceId: string;
const call: ReturnType<Service['client']>['call'] = (name, given) => service.client().call(name, given);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockgate-examples-'));
  service = await Service.start();
  for (let i = 0; i < 40; i++)
    service.deployment.s3.put('docs', `${i}.txt`, `the ${i === 7 ? 'holiday policy' : 'minutes'} of ${i}`, {
      contentType: 'text/plain',
    });
  await call('secrets.put', { id: 'my-creds', type: 's3', credential: service.deployment.credential() });
  await call('collections.create', { name: 'handbook' });
  const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://docs' };
  sourceId = (await call('sources.create', { collection: 'handbook', ...place })).id;
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test('the feeder keeps a full-text index in step, also when it is killed, in fewer than 80 lines', async () => {
  const environment = { LOCKGATE_URL: service.url, LOCKGATE_TOKEN: service.token };
  const index = join(folder, 'index.sqlite');
  const search = async (question: string) => {
    await using example = new Example('rag-feeder.ts', ['--search', index, question], {});
    await new Promise((resolve) => example.child.once('exit', resolve));
    return example.out;
  };
  {
    await using feeder = new Example('rag-feeder.ts', ['handbook', index], environment);
    await call('sources.sync', { id: sourceId });
    await feeder.says(/^20 added/m);
    await feeder.end('SIGKILL');
  }
  await using feeder = new Example('rag-feeder.ts', ['handbook', index], environment);
  await feeder.says(/^40 added/m);
  expect(await search('holiday')).toContain('7.txt: the [holiday] policy of 7');
  expect((await search('minutes')).trim().split('\n').length).toBe(5);
  service.deployment.s3.put('docs', '7.txt', 'the travel policy of 7', { contentType: 'text/plain' });
  service.deployment.s3.delete('docs', '8.txt');
  await call('sources.sync', { id: sourceId });
  await feeder.says(/removed 8\.txt/);
  await feeder.says(/changed 7\.txt/);
  expect(await search('holiday')).not.toContain('7.txt');
  expect(await search('travel')).toContain('7.txt: the [travel] policy of 7');
  await feeder.end('SIGTERM');
  expect((await readFile(join(EXAMPLES, 'rag-feeder.ts'), 'utf8')).split('\n').length).toBeLessThan(80);
});

test('the receiver believes what is signed, and nothing else', async () => {
  const secretFile = join(folder, 'secret.txt');
  await writeFile(secretFile, 'not-yet');
  // Its address has to be known before its secret is.
  const probe = new Example('webhook-receiver.ts', [], { WEBHOOK_SECRET_FILE: secretFile, PORT: '0' });
  const [, url = ''] = await probe.says(/listening on (\S+)/);
  await probe.end('SIGTERM');
  service.deployment.environment.LOCKGATE_ALLOWED_ENDPOINTS += `,${url}`;
  await service.down();
  await service.up();
  const { secret } = await call('webhooks.create', { collection: 'handbook', url, after: 0 });
  await writeFile(secretFile, `${secret}\n`);
  await using receiver = new Example('webhook-receiver.ts', [], {
    WEBHOOK_SECRET_FILE: secretFile,
    PORT: new URL(url).port,
  });
  await receiver.says(/listening/);
  const [{ id = '' } = {}] = (await call('webhooks.list', { collection: 'handbook' })).items;
  await call('webhooks.update', { id, enabled: true });
  await receiver.says(/^1 added/m);
  for (const signature of ['', 't=1,v1=00', `t=${Math.floor(Date.now() / 1000)},v1=${'0'.repeat(64)}`]) {
    const forged = await fetch(url, {
      method: 'POST',
      headers: { 'lockgate-signature': signature },
      body: '{"changes":[{"number":9999,"kind":"added","path":"forged"}]}',
    });
    expect(forged.status).toBe(401);
  }
  expect(receiver.out).not.toContain('forged');
});
