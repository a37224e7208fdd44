import { createHash, hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { giveBack } from '../contract/chunk-pool.ts';
import type { ChecksumAlgorithm, Content, Entry, Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';
import { QuickXor } from './quick-xor.ts';

/** Strongest first; one is enough. */
const PREFERENCE: readonly ChecksumAlgorithm[] = ['sha256', 'sha1', 'md5', 'quickxor', 'crc64nvme', 'crc32c', 'crc32'];

/**
 * Checks a whole read against the listed length and the strongest checksum that the source states. Stands outside the
 * retry layer, so that a body put together from several ranges is verified as one. A ranged read passes unchecked. Sizes in a
 * listing are numbers of bytes, or it is refused.
 */
export function withVerification(source: Source): Source {
  return {
    check: (signal) => source.check(signal),
    listPage: async (position, signal) => {
      const page = await source.listPage(position, signal);
      if (!page.outline) assertSizes(page.entries);
      if (page.changes) assertSizes(page.changes.entries);
      return page;
    },
    read: (entry, range, signal) =>
      source.read(entry, range, signal).then((content) => {
        if (range || content.made) return content;
        if (!content.whole || content.rewrittenSize !== undefined) return withVerifiedBody(content, entry);
        return withVerifiedWhole(content, content.whole, entry);
      }),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

/** Whatever the source says: a size is a count of bytes. */
function assertSizes(entries: readonly { readonly size: number }[]): void {
  for (const { size } of entries) {
    if (size >= 0 && Number.isSafeInteger(size)) continue;
    throw new ConnectorError('invalid_listing', 'The listing has a size that is no number of bytes.', {
      operation: 'list',
      retryable: false,
    });
  }
}

function strongestIn(checksums: Content['checksums']): ChecksumAlgorithm | undefined {
  return PREFERENCE.find((name) => checksums[name] !== undefined);
}

function withVerifiedWhole(content: Content, whole: Uint8Array, entry: Entry): Content | Promise<Content> {
  const refuse = (error: unknown): never => {
    giveBack(whole);
    throw error;
  };
  try {
    const pending = assertWhole(content, whole, entry);
    return pending ? pending.then(() => content, refuse) : content;
  } catch (error) {
    return refuse(error);
  }
}

/** Throws what `verified` would, before anything is read; at once where it can. */
function assertWhole({ checksums }: Content, whole: Uint8Array, entry: Entry): Promise<void> | undefined {
  if (whole.length !== entry.size) throw wrongSize(whole.length, entry);
  const algorithm = strongestIn(checksums);
  if (!algorithm) return undefined;
  const assert = (hex: string) => {
    if (hex !== checksums[algorithm]?.toLowerCase()) throw wrongChecksum(algorithm);
  };
  if (algorithm !== 'sha256' && algorithm !== 'sha1' && algorithm !== 'md5')
    return checksumOf(algorithm, whole).then(assert);
  assert(hash(algorithm, whole));
  return undefined;
}

async function checksumOf(algorithm: ChecksumAlgorithm, whole: Uint8Array): Promise<string> {
  const checksum = await accumulator(algorithm);
  checksum.update(whole);
  return checksum.hex();
}

function withVerifiedBody(content: Content, entry: Entry): Content {
  if (content.rewrittenSize === undefined) {
    const refuse = (error: ConnectorError) => {
      throw error;
    };
    return { ...content, body: verified(content, entry, entry.size, refuse) };
  }
  let warning: string | null = null;
  const warn = (error: ConnectorError) => {
    warning = error.message;
  };
  return { ...content, body: verified(content, entry, content.rewrittenSize, warn), warning: () => warning };
}

/** Ends with a call to `differs` when what arrived is not what was listed. Reads no more than `atMost` bytes. */
async function* verified(content: Content, entry: Entry, atMost: number, differs: (error: ConnectorError) => void) {
  const algorithm = strongestIn(content.checksums);
  const checksum = algorithm ? await accumulator(algorithm) : undefined;
  let size = 0;
  for await (const chunk of content.body) {
    size += chunk.length;
    if (size > atMost) break;
    checksum?.update(chunk);
    yield chunk;
  }
  if (size !== entry.size) {
    return differs(wrongSize(size, entry));
  }
  if (algorithm && checksum && (await checksum.hex()) !== content.checksums[algorithm]?.toLowerCase()) {
    differs(wrongChecksum(algorithm));
  }
}

interface Accumulator {
  update(chunk: Uint8Array): void;
  hex(): string | Promise<string>;
}

async function accumulator(algorithm: ChecksumAlgorithm): Promise<Accumulator> {
  if (algorithm === 'crc32') {
    let value = 0;
    return {
      update: (chunk) => {
        value = crc32(chunk, value);
      },
      hex: () => value.toString(16).padStart(8, '0'),
    };
  }
  if (algorithm === 'crc32c' || algorithm === 'crc64nvme') {
    const { Crc32c, Crc64Nvme } = await import('@aws-sdk/checksums/crc');
    const checksum = algorithm === 'crc32c' ? new Crc32c() : new Crc64Nvme();
    return {
      update: (chunk) => checksum.update(chunk),
      hex: async () => Buffer.from(await checksum.digest()).toString('hex'),
    };
  }
  if (algorithm === 'quickxor') return new QuickXor();
  const hash = createHash(algorithm);
  return { update: (chunk) => void hash.update(chunk), hex: () => hash.digest('hex') };
}

function wrongSize(size: number, entry: Entry): ConnectorError {
  const more = size > entry.size ? 'more than' : `${size} of`;
  return failure('truncated', `The source sent ${more} the ${entry.size} bytes that it listed.`);
}

function wrongChecksum(algorithm: ChecksumAlgorithm): ConnectorError {
  return failure('checksum_mismatch', `The bytes that arrived do not have the ${algorithm} that the source states.`);
}

function failure(code: 'truncated' | 'checksum_mismatch', message: string): ConnectorError {
  return new ConnectorError(code, message, { operation: 'read', retryable: true });
}
