import { Readable } from 'node:stream';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PIECE_BYTES } from '../../connectors/http/pieces.ts';
import { objectsIn, outlineListing } from '../../connectors/s3/outline.ts';
import { scanListing } from '../../connectors/s3/scan.ts';

/** How often each property is tried; more where there is time: LOCKGATE_FUZZ_RUNS=1000000. */
const RUNS = Number(process.env.LOCKGATE_FUZZ_RUNS ?? 4000);

/** What the SDK reads from a page. */
let page = '';
const client = new S3Client({
  region: 'us-east-1',
  endpoint: 'http://localhost',
  credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  requestHandler: {
    handle: async () => ({
      response: {
        statusCode: 200,
        headers: { 'content-type': 'application/xml' },
        body: Readable.from([Buffer.from(page)]),
      },
    }),
  } as never,
});

async function bySdk(text: string) {
  page = text;
  const output = await client.send(new ListObjectsV2Command({ Bucket: 'b' }));
  return {
    truncated: output.IsTruncated,
    token: output.NextContinuationToken,
    encoded: output.EncodingType === 'url',
    objects: (output.Contents ?? []).map(({ Key, Size, ETag, LastModified, StorageClass }) => ({
      key: Key,
      size: Size,
      etag: ETag,
      modifiedAt: LastModified?.getTime() ?? Number.NaN,
      storageClass: StorageClass,
    })),
  };
}

const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
// Above U+FFFF the SDK drops what is written so; we do not, and there is nothing to compare with.
const numeric = (text: string) =>
  [...text].map((c) => (c.length > 1 ? c : `&#x${(c.codePointAt(0) ?? 0).toString(16)};`)).join('');

const character = fc.constantFrom(...('abz019/-_.+% é😀&<>"\''.match(/./gu) ?? []));
const text = fc
  .string({ unit: character, minLength: 1, maxLength: 12 })
  .filter((each) => each.trim() === each && each !== '');
const written = fc.tuple(text, fc.constantFrom(escaped, escaped, escaped, numeric)).map(([word, how]) => how(word));
const time = fc
  .date({ min: new Date('1999-01-01'), max: new Date('2099-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());
const element = (name: string, value: fc.Arbitrary<string>) => value.map((inside) => `<${name}>${inside}</${name}>`);

/** The children of an object, in any order, with some that nobody reads. */
const object = fc
  .tuple(
    element('Key', written),
    element('Size', fc.nat().map(String)),
    fc.option(
      element(
        'ETag',
        text.map((word) => `&quot;${escaped(word)}&quot;`),
      ),
      { nil: '' },
    ),
    fc.option(element('LastModified', time), { nil: '' }),
    fc.option(element('StorageClass', fc.constantFrom('STANDARD', 'GLACIER', 'DEEP_ARCHIVE')), { nil: '' }),
    fc.option(
      element(
        'Owner',
        written.map((id) => `<ID>${id}</ID><DisplayName>x</DisplayName>`),
      ),
      { nil: '' },
    ),
    fc.constantFrom('', '<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>', '<Restore/>'),
  )
  .chain((parts) => fc.shuffledSubarray(parts, { minLength: parts.length, maxLength: parts.length }))
  .map((parts) => `<Contents>${parts.join('')}</Contents>`);

const listing = fc
  .record({
    head: fc.constantFrom('', '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0" encoding="UTF-8"?>\n'),
    root: fc.constantFrom('<ListBucketResult>', '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'),
    before: fc.subarray([
      '<Name>bucket</Name>',
      '<KeyCount>3</KeyCount>',
      '<MaxKeys>1000</MaxKeys>',
      '<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>',
      '<EncodingType>url</EncodingType>',
    ]),
    prefix: fc.constantFrom('', '<Prefix></Prefix>', '<Prefix/>', '<Prefix>a &amp; b/</Prefix>'),
    truncated: fc.constantFrom('<IsTruncated>true</IsTruncated>', '<IsTruncated>false</IsTruncated>'),
    token: fc.option(element('NextContinuationToken', written), { nil: '' }),
    objects: fc.array(object, { maxLength: 5 }),
    late: fc.boolean(),
  })
  .map(({ head, root, before, prefix, truncated, token, objects, late }) => {
    const said = [...before, prefix, truncated, token].join('');
    return `${head}${root}${late ? objects.join('') + said : said + objects.join('')}</ListBucketResult>`;
  });

/** An object in the form that S3 writes. */
const usual = fc
  .tuple(
    element('Key', fc.string({ unit: fc.constantFrom(...'abz019/-_.+%'), minLength: 1, maxLength: 12 })),
    element('LastModified', time),
    element('ETag', fc.constantFrom('&quot;0123456789abcdef&quot;', '&quot;0123456789abcdef-2&quot;', '"x"', 'x')),
    fc.constantFrom(
      '',
      '<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>',
      '<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>',
    ),
    element('Size', fc.nat().map(String)),
    fc.constantFrom('', '<StorageClass>STANDARD</StorageClass>', '<StorageClass>GLACIER</StorageClass>'),
  )
  .map((parts) => `<Contents>${parts.join('')}</Contents>`);

/** Puts words at places, which are shares of the whole, instead of so many characters. */
function damaged(page: string, damage: readonly (readonly [word: string, where: number, cut: number])[]): string {
  let text = page;
  for (const [word, where, cut] of damage) {
    const at = Math.floor(where * text.length);
    text = text.slice(0, at) + word + text.slice(at + cut);
  }
  return text;
}

/** What an outline says, with all of its objects taken apart. */
function byOutline(text: string) {
  const outlined = outlineListing(Buffer.from(text), text.length % 2 ? PIECE_BYTES : 300);
  if (!outlined) return null;
  const { truncated, token, encoded, keys } = outlined;
  const half = Math.floor(keys.length / 2);
  const objects = [...objectsIn(outlined, 0, half), ...objectsIn(outlined, half, keys.length)];
  expect(objects.map(({ key }) => key)).toEqual(keys);
  return { truncated, token, encoded, objects };
}

describe('the outline of a listing', () => {
  test('is made of every page in the form that S3 writes, and says what the scan says', () => {
    fc.assert(
      fc.property(fc.array(usual, { minLength: 1, maxLength: 6 }), fc.boolean(), (objects, late) => {
        const said = '<Name>b</Name><NextContinuationToken>a+b=</NextContinuationToken><IsTruncated>true</IsTruncated>';
        const body = late ? objects.join('') + said : said + objects.join('');
        const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${body}</ListBucketResult>`;
        const outlined = byOutline(xml);
        expect(outlined).not.toBeNull();
        expect(outlined).toEqual(scanListing(xml));
      }),
      { numRuns: RUNS },
    );
  });

  test('of a page that is damaged, or that nobody writes, says what the scan says or is not made', () => {
    const odd = fc.constantFrom(
      ...['<!-- x -->', '<![CDATA[<Key>x</Key>]]>', '&amp;', '&unknown;', '<', '>', ' ', '\r\n', '\0', 'é', '😀', '-1'],
      ...['<Contents>', '</Contents>', '<Key>k</Key>', '<Foo>', '</Foo>', '<Contents/>', '</ListBucketResult>', ''],
      '<Contents><Key>k</Key><LastModified>x</LastModified><ETag>e</ETag><Size>1</Size></Contents>',
    );
    const damage = fc.array(fc.tuple(odd, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(12)), { maxLength: 3 });
    let made = 0;
    fc.assert(
      fc.property(fc.array(fc.oneof(usual, usual, object), { maxLength: 4 }), damage, (objects, where) => {
        const good = `<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>${objects.join('')}<KeyCount>1</KeyCount></ListBucketResult>`;
        const xml = damaged(good, where);
        const outlined = byOutline(xml);
        if (!outlined) return;
        made++;
        expect(outlined).toEqual(scanListing(xml));
      }),
      { numRuns: RUNS * 10 },
    );
    expect(made).toBeGreaterThan(0);
  });
});

describe('the scan of listings', () => {
  test('reads every page that S3 writes, and as the SDK does', async () => {
    await fc.assert(
      fc.asyncProperty(listing, async (xml) => {
        const scanned = scanListing(xml);
        expect(scanned).not.toBeNull();
        expect(scanned).toEqual(await bySdk(xml));
      }),
      { numRuns: RUNS },
    );
  }, 3_600_000);

  test('leaves text between the fields of an object to the SDK, which takes the whole object for one then', () => {
    const page = (between: string) =>
      `<ListBucketResult><Contents><Key>a</Key>${between}<Size>1</Size></Contents><IsTruncated>false</IsTruncated></ListBucketResult>`;
    expect(scanListing(page('\r\n  '))?.objects).toMatchObject([{ key: 'a', size: 1 }]);
    for (const word of ['unknown', 'toString', 'valueOf', '__proto__']) {
      expect(scanListing(page(`&${word};`)), word).toBeNull();
      expect(scanListing(page('').replace('>a<', `>a&${word};<`)), word).toBeNull();
    }
    expect(scanListing(page('text'))).toBeNull();
  });

  test('reads a page that is damaged, or that nobody writes, as the SDK does or not at all', async () => {
    const odd = fc.constantFrom(
      ...[
        '<!-- a comment -->',
        '<![CDATA[<Key>x</Key>]]>',
        '&unknown;',
        '&toString;',
        '&#0;',
        '&',
        '<',
        '>',
        '</Contents>',
        '<Contents>',
      ],
      ...[
        '<Key>twice</Key>',
        '<Contents a="b">',
        '<Key a="b">',
        '\r\n',
        ' ',
        '<x:Key>',
        '<Size>-1</Size>',
        '<Size>1e3</Size>',
        '<Key/>',
      ],
      ...[
        '<IsTruncated>maybe</IsTruncated>',
        '<!DOCTYPE x [<!ENTITY y "z">]>',
        '<Keys>no</Keys>',
        '\uFEFF',
        '<Contents/>',
        '</ListBucketResult>',
      ],
    );
    let read = 0;
    await fc.assert(
      fc.asyncProperty(
        listing,
        fc.array(fc.tuple(odd, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(5)), { minLength: 1, maxLength: 3 }),
        async (good, damage) => {
          const xml = damaged(good, damage);
          const scanned = scanListing(xml);
          if (!scanned) return;
          read++;
          const whole = await bySdk(xml).catch(() => null);
          // The SDK may refuse what can be read; it must not read something else.
          if (whole) expect(scanned).toEqual(whole);
        },
      ),
      { numRuns: RUNS },
    );
    expect(read).toBeGreaterThan(0);
  }, 3_600_000);
});
