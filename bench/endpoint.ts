import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/**
 * An endpoint of S3, GCS and Azure that is as fast as it can be, so that what is measured is the client: nginx gives out files that
 * were written before. It checks no signature, lists by page and by directory (`delimiter=/`), and every object of a bucket has the same bytes.
 */
export interface Bucket {
  readonly name: string;
  readonly keys: number;
  readonly size: number;
  /** One key in so many has another version than in the bucket without this. */
  readonly changedEvery?: number;
}

const PER_PAGE = 1000;
const MODIFIED = 1_790_000_000;
const PORT = 9177;

const keyOf = (i: number) =>
  `docs/${String(Math.floor(i / PER_PAGE)).padStart(3, '0')}/report-${String(i).padStart(9, '0')}.pdf`;

export async function startEndpoint(root: string, buckets: readonly Bucket[]): Promise<{ url: string; stop(): void }> {
  const www = join(root, 'www');
  for (const bucket of buckets) await writeBucket(join(www, bucket.name), bucket);
  const file = join(root, 'nginx.conf');
  await writeFile(file, configuration(root, www));
  if (await answers()) throw new Error(`something listens on port ${PORT} already: end it first`);
  const nginx = spawn('nginx', ['-c', file, '-e', join(root, 'error.log')], { stdio: 'ignore' });
  for (let tries = 0; !(await answers()); tries++) {
    if (tries > 100 || nginx.exitCode) throw new Error(`nginx does not start; see ${join(root, 'error.log')}`);
    await wait(50);
  }
  return { url: `http://127.0.0.1:${PORT}`, stop: () => void nginx.kill('SIGQUIT') };
}

/** From now on the bucket `name` is the one that was written as `as`. */
export async function showAs(root: string, name: string, as: string): Promise<void> {
  const link = join(root, 'www', name);
  await rm(link, { force: true });
  await symlink(as, link);
}

/** Has the machine hold the files of a bucket in memory, so that its disk is no part of what is measured. */
export function warm(root: string, name: string): void {
  spawnSync('sh', ['-c', 'find "$0" -type f -exec cat {} + > /dev/null', join(root, 'www', name)]);
}

/** What the benchmark needs and this machine has not. */
export function missingTools(): string[] {
  return ['nginx', 'rclone'].filter((name) => {
    try {
      execFileSync('which', [name], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function writeBucket(folder: string, { name, keys, size, changedEvery }: Bucket): Promise<void> {
  // Whatever of it was written by another version is written anew.
  const done = join(folder, 'done-5');
  if (existsSync(done)) return;
  await mkdir(join(folder, 'pages'), { recursive: true });
  const object = join(folder, 'object');
  const modified = changedEvery ? MODIFIED + 1 : MODIFIED;
  await writeObject(object, size, modified);
  for (let i = 0; size > 0 && i < keys; i++) {
    if (i % PER_PAGE === 0) await mkdir(dirname(join(folder, keyOf(i))), { recursive: true });
    await writeObject(join(folder, keyOf(i)), size, modified);
  }
  // As nginx computes it, so that conditions hold.
  const bytes = (await stat(object)).size.toString(16);
  const etagOf = (i: number) =>
    `&quot;${(changedEvery && i % changedEvery === 0 ? modified : MODIFIED).toString(16)}-${bytes}&quot;`;
  const entry = (i: number) =>
    `<Contents><Key>${keyOf(i)}</Key><LastModified>2026-09-21T14:13:20.000Z</LastModified><ETag>${etagOf(i)}</ETag><Size>${size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
  const page = (file: string, prefix: string, said: string, body: string, next?: string) =>
    writeFile(
      join(folder, 'pages', `${file}.xml`),
      `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${name}</Name><Prefix>${prefix}</Prefix>${said}${next ? `<NextContinuationToken>${next}</NextContinuationToken>` : ''}<MaxKeys>${PER_PAGE}</MaxKeys><IsTruncated>${next !== undefined}</IsTruncated>${body}</ListBucketResult>`,
    );
  const pages = Math.ceil(keys / PER_PAGE);
  const folders: string[] = [];
  for (let p = 0; p < pages; p++) {
    const from = p * PER_PAGE;
    const body = Array.from({ length: Math.min(PER_PAGE, keys - from) }, (_, i) => entry(from + i)).join('');
    const directory = String(p).padStart(3, '0');
    await page(`p${p}`, '', '', body, p + 1 < pages ? `p${p + 1}` : undefined);
    await page(`ddocs${directory}`, `docs/${directory}/`, '<Delimiter>/</Delimiter>', body);
    folders.push(`<CommonPrefixes><Prefix>docs/${directory}/</Prefix></CommonPrefixes>`);
  }
  await page('d', '', '<Delimiter>/</Delimiter>', '<CommonPrefixes><Prefix>docs/</Prefix></CommonPrefixes>');
  await page('ddocs', 'docs/', '<Delimiter>/</Delimiter>', folders.join(''));
  await writeOthers(folder, keys, size);
  await writeFile(done, createHash('sha256').update(`${keys} ${size}`).digest('hex'));
}

async function writeObject(path: string, size: number, modified: number): Promise<void> {
  const file = await open(path, 'w');
  for (let at = 0; at < size; at += 1 << 20) await file.write(randomBytes(Math.min(1 << 20, size - at)));
  await file.utimes(modified, modified);
  await file.close();
}

const PER_AZURE_PAGE = 5000;

/** The same listing as GCS and Azure give it out. */
async function writeOthers(folder: string, keys: number, size: number): Promise<void> {
  const modified = new Date(MODIFIED * 1000);
  const numbers = (from: number, length: number) =>
    Array.from({ length: Math.min(length, keys - from) }, (_, i) => from + i);
  for (let from = 0; from < keys; from += PER_PAGE) {
    const items = numbers(from, PER_PAGE).map((i) => ({
      name: keyOf(i),
      generation: String(1_790_000_000_000_000 + i),
      size: String(size),
      updated: modified.toISOString(),
    }));
    const next = from + PER_PAGE < keys ? { nextPageToken: `g${from / PER_PAGE + 1}` } : {};
    await writeFile(join(folder, 'pages', `g${from / PER_PAGE}.json`), JSON.stringify({ ...next, items }));
  }
  const etag = `${MODIFIED.toString(16)}-${size.toString(16)}`;
  const time = modified.toUTCString();
  for (let from = 0; from < keys; from += PER_AZURE_PAGE) {
    const blobs = numbers(from, PER_AZURE_PAGE).map(
      (i) =>
        `<Blob><Name>${keyOf(i)}</Name><Properties><Creation-Time>${new Date((MODIFIED + i) * 1000).toUTCString()}</Creation-Time><Last-Modified>${time}</Last-Modified><Etag>${etag}</Etag><Content-Length>${size}</Content-Length><Content-Type>application/pdf</Content-Type><Content-Encoding /><Content-Language /><Content-MD5>${String(i).padStart(22, 'A')}==</Content-MD5><Cache-Control /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>`,
    );
    const page = from / PER_AZURE_PAGE;
    const next = from + PER_AZURE_PAGE < keys ? `<NextMarker>a${page + 1}</NextMarker>` : '<NextMarker />';
    await writeFile(
      join(folder, 'pages', `a${page}.xml`),
      `\uFEFF<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/account" ContainerName="c"><MaxResults>${PER_AZURE_PAGE}</MaxResults><Blobs>${blobs.join('')}</Blobs>${next}</EnumerationResults>`,
    );
  }
}

function configuration(root: string, www: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${root}/tmp;`)
    .join(' ');
  // Started by root, nginx would be somebody else, who may not pass through every folder.
  const user = process.getuid?.() === 0 ? 'user root; ' : '';
  return `${user}worker_processes 1; daemon off; pid ${root}/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 300s; ${temporary}
  default_type application/octet-stream;
  map $args $page {
    default p0;
    "~continuation-token=(?<t>p[0-9]+)" $t;
    "~delimiter=%2F.*prefix=docs%2F(?<d>[0-9]+)%2F" ddocs$d;
    "~delimiter=%2F.*prefix=docs%2F" ddocs;
    "~delimiter=%2F" d;
  }
  map $args $gcs { default g0; "~pageToken=(?<g>g[0-9]+)" $g; }
  map $args $azure { default a0; "~marker=(?<a>a[0-9]+)" $a; }
  server {
    listen 127.0.0.1:${PORT};
    location ~ ^/(?<b>[a-z0-9]+)/?$ { default_type application/xml; root ${www}; etag off; try_files /$b/pages/$page.xml =404; }
    location = /token { default_type application/json; return 200 '{"access_token":"token","expires_in":3600}'; }
    location ~ ^/storage/v1/b/(?<b>[a-z0-9]+)/o$ { default_type application/json; root ${www}; try_files /$b/pages/$gcs.json =404; }
    location ~ ^/storage/v1/b/(?<b>[a-z0-9]+)/o/ { root ${www}; rewrite ^ /$b/object break; }
    location ~ ^/account/(?<b>[a-z0-9]+)$ { default_type application/xml; root ${www}; try_files /$b/pages/$azure.xml =404; }
    location ~ ^/account/(?<b>[a-z0-9]+)/ { root ${www}; rewrite ^ /$b/object break; }
    location ~ ^/(?<b>[a-z0-9]+)/docs/ { root ${www}; try_files $uri /$b/object =404; }
  }
}
`;
}
