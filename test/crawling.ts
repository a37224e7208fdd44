import { systemClock } from '../src/clock.ts';
import { createCollection } from '../src/collections/collections.ts';
import { NO_CAPS } from '../src/collections/hands.ts';
import { addSource } from '../src/collections/sources.ts';
import { openDirectoryStore } from '../src/content/directory.ts';
import type { CrawlParts } from '../src/jobs/crawl.ts';
import { Limits } from '../src/jobs/open-source.ts';
import { createLog } from '../src/log.ts';
import { openEnvDirectory } from '../src/secrets/env/directory.ts';
import { findEnvSecrets } from '../src/secrets/env/names.ts';
import { openEnvReader } from '../src/secrets/env/reader.ts';
import type { freshDatabase } from './database.ts';
import { runtimeFor } from './runtime.ts';
import type { S3Server } from './servers/s3.ts';
import { SOURCE_SETTINGS } from './source-settings.ts';

/** A collection with the bucket `docs` of the server as its source, and what a run of it is executed with. */
export async function crawlingOf(
  db: Awaited<ReturnType<typeof freshDatabase>>,
  server: S3Server,
  contentFolder: string,
  workspace = 'default',
) {
  const collection = await createCollection(db, workspace, 'c');
  const source = await addSource(db, workspace, collection.id, SOURCE_SETTINGS, null);
  server.keys.set('AKIAFAKECRAWL', { secretAccessKey: 'fake' });
  const json = JSON.stringify({ access_key_id: 'AKIAFAKECRAWL', secret_access_key: 'fake', endpoint: server.endpoint });
  const secrets = findEnvSecrets({ LOCKGATE_SECRET_K: json, LOCKGATE_SECRET_K_TYPE: 's3' });
  const runtime = runtimeFor(server.endpoint);
  const limits = new Limits(systemClock);
  const parts: CrawlParts = {
    db,
    content: await openDirectoryStore(contentFolder),
    sourceParts: () => ({
      reader: openEnvReader(secrets),
      directory: () => openEnvDirectory(secrets),
      runtime,
      limits,
    }),
    clock: systemClock,
    log: createLog('silent', String),
    caps: NO_CAPS,
    worker: 'test',
  };
  return { parts, source };
}
