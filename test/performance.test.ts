import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { s3 } from '../connectors/s3/connector.ts';
import { scanListing } from '../connectors/s3/scan.ts';
import { systemClock } from '../src/clock.ts';
import type { Entry, Source } from '../src/contract/connector.ts';
import { Secret } from '../src/contract/secret.ts';
import { AdaptiveLimit, withLimit } from '../src/layers/limit.ts';
import { withRetry } from '../src/layers/retry.ts';
import { withTimeout } from '../src/layers/timeout.ts';
import { withVerification } from '../src/layers/verify.ts';
import { Deployment } from './deployment.ts';
import { runtimeFor } from './runtime.ts';

/**
 * The two hot paths against a floor that is measured in the same run, so that the machine does not matter: ceilings are about
 * twice what was seen, and a change that makes one of them twice as slow is noticed.
 */
const OBJECTS = 3000;
const BODY = Buffer.alloc(4096, 'content ');
const ETAG = '"5ec5b80e-1000"';

let server: Server;
let origin: string;
beforeAll(async () => {
  server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': BODY.length, etag: ETAG });
    response.end(BODY);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** The least of three. */
async function least(work: () => Promise<void> | void): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < 3; n++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return Math.min(...times);
}

async function sideBySide(work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < OBJECTS) await work(next++);
  };
  await Promise.all(Array.from({ length: 32 }, one));
}

test('a page is scanned in a small part of the time that the SDK takes to read it', async () => {
  const contents = Array.from(
    { length: 1000 },
    (_, i) =>
      `<Contents><Key>folder/report-${String(i).padStart(9, '0')}.pdf</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;5ec5b80e-1000&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>`,
  );
  const page = Buffer.from(
    `<ListBucketResult><Name>b</Name><Prefix></Prefix><IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`,
  );
  const client = new S3Client({
    region: 'us-east-1',
    endpoint: 'http://localhost',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    requestHandler: {
      handle: async () => ({ response: { statusCode: 200, headers: {}, body: Readable.from([page]) } }),
    } as never,
  });
  const bySdk = await least(async () => {
    for (let n = 0; n < 20; n++) await client.send(new ListObjectsV2Command({ Bucket: 'b' }));
  });
  const scanned = await least(() => {
    for (let n = 0; n < 20; n++) if (scanListing(page.toString())?.objects.length !== 1000) throw new Error('not read');
  });
  expect(scanned / bySdk).toBeLessThan(0.3);
});

test('reading an object with all that it takes is not far from asking for it', async () => {
  const credential = new Secret(s3.parseCredential({ access_key_id: 'a', secret_access_key: 'b', endpoint: origin }));
  const bare = new Pool(origin, { connections: 32, pipelining: 1 });
  await using connector: Source = s3.open(credential, s3.parseLocation('s3://bucket'), runtimeFor(origin));
  const layered = withVerification(
    withRetry(withLimit(withTimeout(connector), new AdaptiveLimit(systemClock)), true, systemClock),
  );
  const signal = new AbortController().signal;
  const entry = (i: number): Entry => ({
    key: `k${i}`,
    path: `k${i}`,
    version: ETAG,
    size: BODY.length,
    modifiedAt: 0,
  });
  const floor = await least(() =>
    sideBySide(async (i) => (await bare.request({ path: `/bucket/k${i}`, method: 'GET' })).body.arrayBuffer()),
  );
  const ours = await least(() =>
    sideBySide(async (i) => {
      if ((await layered.read(entry(i), undefined, signal)).whole?.length !== BODY.length) throw new Error('not read');
    }),
  );
  await bare.close();
  expect(ours / floor).toBeLessThan(2.5);
});

test('a command that reads a secret and asks a source loads nothing of what is behind fetch, which would be an eighth of its start', async () => {
  await using deployment = await Deployment.start();
  const told = join(deployment.folder, 'told.mjs');
  await writeFile(
    told,
    `process.on('exit', () => process.stderr.write(process.moduleLoadList.filter((name) => name.includes('undici')).join()));`,
  );
  await deployment.putSecret();
  const source = await deployment.connect();
  deployment.environment = { ...deployment.environment, NODE_OPTIONS: `--import=${told}` };
  expect(await deployment.run('sources', 'check', source)).toMatchObject({ code: 0, stderr: '' });
});
