/**
 * One connector with its layers against the endpoint: lists a bucket to its end, reads the objects of another, and prints what each took as
 * JSON. Run by `bench/run.ts`, a process for each.
 */
import { generateKeyPairSync } from 'node:crypto';
import { loadConnector } from '../connectors/index.ts';
import { systemClock } from '../src/clock.ts';
import type { Entry, Source } from '../src/contract/connector.ts';
import { Secret } from '../src/contract/secret.ts';
import { createEgress } from '../src/layers/egress.ts';
import { AdaptiveLimit, withLimit } from '../src/layers/limit.ts';
import { withRetry } from '../src/layers/retry.ts';
import { withTimeout } from '../src/layers/timeout.ts';
import { withVerification } from '../src/layers/verify.ts';

const AT_ONCE = 64;
const [type = '', url = '', listed = '', read = ''] = process.argv.slice(2);

const CLOUDS: Readonly<Record<string, { scheme: string; credential: () => object }>> = {
  s3: { scheme: 's3', credential: () => ({ access_key_id: 'A', secret_access_key: 'b', endpoint: url }) },
  gcs: { scheme: 'gs', credential: serviceAccount },
  azure: {
    scheme: 'azure',
    credential: () => ({ account_name: 'account', sas_token: 'sv=2026-01-01&sp=rl&sig=x', endpoint: `${url}/account` }),
  },
};

function serviceAccount(): object {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    type: 'service_account',
    project_id: 'project',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    client_email: 'reader@project.iam.gserviceaccount.com',
    token_uri: `${url}/token`,
    endpoint: url,
  };
}

const signal = new AbortController().signal;

async function open(bucket: string): Promise<Source> {
  const cloud = CLOUDS[type];
  if (!cloud) throw new Error(`one of ${Object.keys(CLOUDS).join(', ')}`);
  const connector = await loadConnector(type as 's3');
  const credential = new Secret(connector.parseCredential(cloud.credential()));
  const runtime = { clock: systemClock, egress: createEgress([url]), ambient: false, slowDown: () => undefined };
  const source = connector.open(credential, connector.parseLocation(`${cloud.scheme}://${bucket}`), runtime);
  return withVerification(withRetry(withLimit(withTimeout(source), new AdaptiveLimit(systemClock)), true, systemClock));
}

/** Seconds of work and of wall time for each. */
async function measured(work: () => Promise<number>) {
  const cpu = process.cpuUsage();
  const started = performance.now();
  const count = await work();
  const { user, system } = process.cpuUsage(cpu);
  return { count, wall: (performance.now() - started) / 1000, cpu: (user + system) / 1e6 };
}

async function listAll(bucket: string): Promise<number> {
  await using source = await open(bucket);
  let keys = 0;
  for (let position: string | null = null; ; ) {
    const page = await source.listPage(position, signal);
    keys += page.entries.length;
    if (page.next.kind === 'end') return keys;
    position = page.next.pageToken;
  }
}

async function readAll(bucket: string): Promise<number> {
  await using source = await open(bucket);
  const entries: Entry[] = [];
  for (let position: string | null = null; ; ) {
    const page = await source.listPage(position, signal);
    entries.push(...page.entries);
    if (page.next.kind === 'end') break;
    position = page.next.pageToken;
  }
  let next = 0;
  const one = async () => {
    for (let entry = entries[next++]; entry; entry = entries[next++]) {
      const { whole } = await source.read(entry, undefined, signal);
      if (whole?.length !== entry.size) throw new Error('not read whole');
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return entries.length;
}

const listing = await measured(() => listAll(listed));
const gets = await measured(() => readAll(read));
process.stdout.write(`${JSON.stringify({ listing, gets })}\n`);
