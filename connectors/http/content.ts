import type { ByteRange, Content, Entry } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { assertRange, bodyOf } from '../../src/contract/object-store.ts';
import type { AnswerHeaders, RawRequest } from './messages.ts';
import type { Requests } from './requests.ts';

/** An object that is read whole is no longer than this, in bytes. */
const WHOLE_BYTES = 1024 * 1024;

/** `bytes=0-9`, as HTTP has it: both ends inclusive. */
export function rangeOf(range: ByteRange): string {
  return `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}`;
}

/** What an answer says of the object in it. */
export interface Stated {
  readonly checksums: Content['checksums'];
  /** Throws when it is another object than was asked for. */
  assert?(): void;
}

/** Reads an object: a small one into a buffer, another as it comes. `toError` is for what fails after this has returned. */
export function readContent(
  requests: Requests,
  request: RawRequest,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
  statedIn: (headers: AnswerHeaders) => Stated,
  toError: (error: unknown) => unknown,
): Promise<Content> {
  if (range || entry.size > WHOLE_BYTES)
    return requests.stream(request, signal, (headers, body): Content => {
      const checksums = checksumsOf(statedIn(headers));
      assertRange(range, headers['content-range'] as string | undefined, body);
      return typed({ checksums: range ? {} : checksums, body: bodyOf(body, toError) }, headers);
    });
  return requests.whole(request, entry.size, signal, (headers, body): Content => {
    const checksums = checksumsOf(statedIn(headers));
    if (body.length < entry.size) throw truncated(body.length, entry.size);
    return typed({ checksums, body: new OnceBody(body), whole: body }, headers);
  });
}

/** Of the object that was asked for. */
function checksumsOf(stated: Stated): Content['checksums'] {
  stated.assert?.();
  return stated.checksums;
}

/** Seldom asked for: who finds the body whole takes that. */
class OnceBody implements AsyncIterable<Uint8Array> {
  readonly #body: Buffer;

  constructor(body: Buffer) {
    this.#body = body;
  }

  async *[Symbol.asyncIterator]() {
    yield this.#body;
  }
}

function typed(content: Content, headers: AnswerHeaders): Content {
  const contentType = headers['content-type'];
  return typeof contentType === 'string' && contentType !== ''
    ? { ...content, contentType: own(contentType) }
    : content;
}

let usual = '';

/** What is cut out of an answer's head would keep all of it for as long as the object is under way. Most have one type. */
function own(text: string): string {
  if (text !== usual) usual = Buffer.from(text).toString();
  return usual;
}

function truncated(bytes: number, size: number): ConnectorError {
  return new ConnectorError('truncated', `The body ended at byte ${bytes} of ${size}.`, {
    operation: 'read',
    retryable: true,
  });
}
