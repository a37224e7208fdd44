import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { gcs } from '../../connectors/gcs/connector.ts';
import type { Runtime } from '../../src/contract/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { everything, findIn } from '../canary.ts';
import { listAll } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { GcsServer } from '../servers/gcs.ts';
import { whileTimeFlies } from '../time.ts';

const SUBJECT = 'fake.subject.token';
const TARGET = 'reader@fake-project.iam.gserviceaccount.com';
const signal = new AbortController().signal;

describe('gcs by other means than a key', () => {
  let server: GcsServer;
  let folder: string;
  beforeAll(async () => {
    server = await new GcsServer().listen();
    server.put('docs', 'a', 'text');
    server.permitted.set('nobody', []);
    server.subjects.set(SUBJECT, 'principal://pool/subject/us');
    folder = await mkdtemp(join(tmpdir(), 'lockgate-gcs-'));
    await writeFile(join(folder, 'token'), SUBJECT);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const open = (fields: Record<string, unknown>, more: Partial<Runtime> = { ambient: true }) =>
    gcs.open(
      new Secret(gcs.parseCredential({ endpoint: server.endpoint, ...fields })),
      gcs.parseLocation('gs://docs'),
      {
        ...runtimeFor(server.endpoint),
        ...more,
      },
    );
  const federation = () => ({
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ours',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${server.endpoint}/v1/token`,
    credential_source: { file: join(folder, 'token') },
  });

  test('a token of another party is exchanged, and one that is not trusted is rejected', async () => {
    await using source = open(federation());
    expect((await listAll(source)).length).toBe(1);
    expect(inspect(source, { depth: 20, showHidden: true })).not.toContain(SUBJECT);
    await writeFile(join(folder, 'other'), 'not trusted');
    for (const file of ['other', 'missing']) {
      await using refused = open({ ...federation(), credential_source: { file: join(folder, file) } });
      expect((await refused.check(signal)).problem, file).toMatchObject({ code: 'credential_rejected' });
    }
    expect(() => open(federation(), {})).toThrow(expect.objectContaining({ code: 'ambient_refused' }));
  });

  test('an exchange that has no answer is no refusal, and one that stalls is not waited for without end', async () => {
    for (const kind of ['reset', 'stall'] as const) {
      await using source = open(federation());
      server.fault = ({ operation }) => (operation === 'token' ? { kind } : undefined);
      await whileTimeFlies(() =>
        expect(source.listPage(null, signal), kind).rejects.toMatchObject({ code: 'unavailable', retryable: true }),
      );
      server.fault = () => undefined;
      expect((await listAll(source)).length).toBe(1);
    }
  });

  test('hosts that the file names are Google’s or listed, and no program is started for a token', () => {
    const refused = expect.objectContaining({ code: 'endpoint_refused' });
    const own = { ...federation(), endpoint: undefined, token_url: undefined };
    const none = { ambient: true, egress: runtimeFor().egress };
    expect(() => open(own, none)).not.toThrow();
    expect(() => open({ ...own, token_url: 'https://evil.example/v1/token' }, none)).toThrow(refused);
    expect(() => open({ ...own, token_url: 'https://sts.googleapis.com.evil.example/' }, none)).toThrow(refused);
    expect(() => open({ ...own, service_account_impersonation_url: 'https://evil.example/' }, none)).toThrow(refused);
    expect(() => open({ ...own, credential_source: { url: 'http://169.254.169.254/token' } }, none)).toThrow(refused);
    expect(() => open({ ...own, credential_source: { executable: { command: 'sh' } } }, none)).toThrow(/executable/);
    expect(() => open({ ...own, credential_source: { environment_id: 'aws1' } }, none)).toThrow(/environment_id/);
  });

  test('a service account’s place is taken by one that may, and by nobody else', async () => {
    const key = server.createKeyFile('caller');
    const fields = { ...key, impersonate: TARGET, iam_endpoint: server.endpoint };
    await using refused = open(fields, {});
    expect((await refused.check(signal)).problem).toMatchObject({ code: 'credential_rejected' });
    server.impersonators.add(`${key.client_email} ${TARGET}`);
    server.permitted.set(key.client_email as string, []);
    await using source = open(fields, {});
    expect((await listAll(source)).length).toBe(1);
    expect(() => open({ ...key, impersonate: TARGET, iam_endpoint: 'https://evil.example' }, {})).toThrow(
      expect.objectContaining({ code: 'endpoint_refused' }),
    );
  });

  test('neither the other party’s token nor Google’s is shown, also when they are sent back', async () => {
    const key = server.createKeyFile('quiet');
    server.impersonators.add(`${key.client_email} ${TARGET}`);
    const shown: string[] = [];
    for (const fields of [federation(), { ...key, impersonate: TARGET, iam_endpoint: server.endpoint }]) {
      await using source = open(fields);
      const [entry] = await listAll(source);
      shown.push(everything(source));
      for (const status of [200, 400, 401, 403, 404, 500]) {
        const message = [SUBJECT, ...server.tokens.keys()].join(' ');
        server.fault = () => ({ kind: 'error', status, code: message, message });
        await using fresh = open(fields);
        const calls = [
          fresh.listPage(null, signal),
          source.listPage(null, signal),
          source.read(entry as never, undefined, signal),
        ];
        for (const outcome of await Promise.allSettled(calls))
          if (outcome.status === 'rejected') shown.push(everything(outcome.reason));
        server.fault = () => undefined;
      }
    }
    expect(shown.length).toBeGreaterThan(20);
    expect(findIn(Buffer.from(shown.join('\n')), [SUBJECT, ...server.tokens.keys()])).toEqual([]);
  });

  test('what the machine is comes from its metadata, where the deployment lends it out', async () => {
    vi.stubEnv('GCE_METADATA_HOST', new URL(server.endpoint).host);
    vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', undefined);
    vi.stubEnv('HOME', folder);
    expect(() => open({ type: 'ambient' }, {})).toThrow(expect.objectContaining({ code: 'ambient_refused' }));
    await using source = open({ type: 'ambient' });
    expect((await listAll(source)).length).toBe(1);
  });
});
