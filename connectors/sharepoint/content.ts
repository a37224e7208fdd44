import {
  type ByteRange,
  type ChecksumAlgorithm,
  type Content,
  type Entry,
  GRANTS_MARK,
  type Runtime,
} from '../../src/contract/connector.ts';
import { errorBy } from '../../src/contract/error-rules.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { hashesOf, versionOf } from './delta.ts';
import { answerError, LINK_GONE, NO_LINK, toConnectorError } from './errors.ts';
import { type Graph, heedQuota, type Json, USER_AGENT } from './graph.ts';
import { readGrants } from './permissions.ts';

const LINK = '@microsoft.graph.downloadUrl';
const MAX_REDIRECTS = 3;

/** SharePoint writes properties into these when it gives them out, so that neither length nor hash is as stated. */
const REWRITTEN = /\.(doc|dot|xls|xlt|xla|ppt|pot|pps|ppa|vsd|vss|vst|pub|xsn|htm|html|aspx|eml|msg)[a-z]?$/i;

/** Where pre-authorised links may lead: the clouds' own file hosts, and what the deployment lists. */
const FILE_HOSTS =
  /(^|\.)(sharepoint\.com|sharepoint\.us|sharepoint-mil\.us|sharepoint\.cn|sharepoint-df\.com|svc\.ms)$/;

/**
 * The content of an item at its listed version. Its link is asked for when it is needed, for it holds only for minutes;
 * it carries its own authority, so it stays in memory and gets no token.
 */
export async function readContent(
  graph: Graph,
  runtime: Runtime,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
  permissions: boolean,
): Promise<Content> {
  const [libraryId = '', itemId = ''] = entry.key.split('/');
  const item = await graph.get(`drives/${libraryId}/items/${itemId}`, 'read', signal);
  const [listed] = entry.version.split(GRANTS_MARK);
  // A listing that had neither hash nor cTag told the eTag, which the item still has.
  if (listed !== versionOf(item) && listed !== `etag ${String(item.eTag)}`) {
    throw new ConnectorError('changed_during_fetch', 'The file changed after it was listed.', {
      operation: 'read',
      retryable: false,
    });
  }
  const link = item[LINK];
  if (typeof link !== 'string') throw errorBy(NO_LINK, 'read');
  // Before the content: a document whose readers are not known is not stored.
  const grants = permissions && !range ? await readGrants(graph, libraryId, itemId, signal) : null;
  const response = await download(link, range, runtime, signal);
  const skip = range && response.status === 200 ? range.start : 0;
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  const rewritten = !range && REWRITTEN.test(entry.path) && Number.isFinite(length);
  const contentType = (item.file as { mimeType?: unknown } | undefined)?.mimeType;
  return {
    ...(typeof contentType === 'string' && contentType !== '' ? { contentType } : {}),
    ...(grants ? { grants } : {}),
    checksums: range ? {} : checksumsOf(item),
    ...(rewritten ? { rewrittenSize: length } : {}),
    body: bodyOf(response, skip, range, signal),
  };
}

async function download(
  link: string,
  range: ByteRange | undefined,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<Response> {
  const headers: Record<string, string> = { 'user-agent': USER_AGENT, 'accept-encoding': 'identity' };
  if (range) headers.range = `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}`;
  let url = new URL(link);
  for (let redirects = 0; ; redirects++) {
    assertFileHost(url, runtime);
    const response = await fetch(url, { headers, redirect: 'manual', signal }).catch((error) => {
      throw toConnectorError(error, 'read', signal);
    });
    heedQuota(response.headers, runtime);
    if (response.ok) return response;
    await response.body?.cancel();
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || !location || redirects === MAX_REDIRECTS) {
      throw response.status === 401 || response.status === 404
        ? errorBy(LINK_GONE, 'read', { status: response.status })
        : answerError(response, 'read');
    }
    url = new URL(location, url);
  }
}

function assertFileHost(url: URL, runtime: Runtime): void {
  if (url.protocol === 'https:' && url.port === '' && FILE_HOSTS.test(url.hostname)) return;
  runtime.egress.assertEndpoint(new URL(url.origin), 'listed');
}

function checksumsOf(item: Json): Content['checksums'] {
  const { quickXorHash, sha256Hash, sha1Hash } = hashesOf(item);
  const found: Partial<Record<ChecksumAlgorithm, string>> = {};
  if (quickXorHash) found.quickxor = Buffer.from(quickXorHash, 'base64').toString('hex');
  if (sha1Hash) found.sha1 = sha1Hash.toLowerCase();
  if (sha256Hash) found.sha256 = sha256Hash.toLowerCase();
  return found;
}

/** A range that the host ignores is cut out of the whole. */
async function* bodyOf(
  response: Response,
  skip: number,
  range: ByteRange | undefined,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const body = response.body as ReadableStream<Uint8Array> | null;
  if (!body) return;
  const end = range?.end ?? Number.POSITIVE_INFINITY;
  let at = skip > 0 || response.status === 200 ? 0 : (range?.start ?? 0);
  try {
    for await (const chunk of body) {
      const from = Math.max(0, (range?.start ?? 0) - at);
      const to = Math.min(chunk.length, end - at);
      at += chunk.length;
      if (from < to) yield chunk.subarray(from, to);
      if (at >= end) return;
    }
  } catch (error) {
    throw toConnectorError(error, 'read', signal);
  }
}
