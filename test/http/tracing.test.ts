import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { findIn } from '../canary.ts';
import { LoopbackServer } from '../servers/loopback.ts';
import { Service } from '../service.ts';

/** Takes traces as OTLP over HTTP, in JSON or Protobuf. */
class Collector extends LoopbackServer {
  readonly bodies: Buffer[] = [];

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.bodies.push(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }
}

test('traces go where the standard variables say, of the service and its workers, and carry no credential', async () => {
  await using collector = await new Collector().listen();
  await using service = await Service.start();
  await service.down();
  service.deployment.environment.OTEL_EXPORTER_OTLP_ENDPOINT = collector.endpoint;
  await service.up();
  const { s3 } = service.deployment;
  s3.put('docs', 'a.txt', 'text');
  const call: ReturnType<Service['client']>['call'] = (name, given) => service.client().call(name, given);
  await call('secrets.put', { id: 'my-creds', type: 's3', credential: service.deployment.credential() });
  await call('collections.create', { name: 'handbook' });
  const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://docs' };
  const { id } = await call('sources.create', { collection: 'handbook', ...place });
  const echo = `${service.deployment.secretAccessKey} ${service.deployment.accessKeyId}`;
  for (const fault of [undefined, { kind: 'error', status: 403, code: 'AccessDenied', message: echo }] as const) {
    s3.fault = () => fault;
    const run = await call('sources.sync', { id });
    while (['queued', 'running'].includes((await call('runs.get', { id: run.id })).state)) await wait(100);
  }
  await service.down();
  const sent = Buffer.concat(collector.bodies);
  for (const name of ['run', 'source list', 'source read', 'POST /v1/secrets', 'lockgate.run_id', 'lockgate'])
    expect(sent.includes(name), name).toBe(true);
  const values = [service.deployment.secretAccessKey, service.deployment.accessKeyId, service.token];
  expect(findIn(sent, values)).toEqual([]);
});
