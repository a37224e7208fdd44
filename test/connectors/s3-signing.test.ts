import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { Form, type Header, KeyedHash, type Keys, Signer } from '../../connectors/s3/signing.ts';
import { Secret } from '../../src/contract/secret.ts';
import { verifySigV4 } from '../servers/sigv4.ts';

const HOST: Header = ['host', '127.0.0.1:9000'];

function keysOf(accessKeyId: string, sessionToken?: string) {
  const keys: Keys = {
    accessKeyId,
    secretAccessKey: randomBytes(20).toString('hex'),
    ...(sessionToken ? { sessionToken } : {}),
  };
  return { keys: new Secret(keys), pair: keys };
}

/** A request as a server has it. */
function received({ text }: { readonly text?: string }) {
  const [line = '', ...rest] = (text ?? '').split('\r\n');
  const headers = Object.fromEntries(
    rest.slice(0, -2).map((each) => [each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 2)]),
  );
  const [method, url] = line.split(' ');
  return { method, url, headers } as unknown as IncomingMessage;
}

test('requests of one form are signed each for itself, whoever asks and whenever', () => {
  let now = Date.UTC(2026, 10, 22, 23, 59, 58, 300);
  const signer = new Signer('eu-west-1', 's3', () => now);
  const forms = [
    { form: new Form(signer, [HOST]), values: () => [] },
    { form: new Form(signer, [['x-amz-request-payer', 'requester'], HOST], ['if-match']), values: () => ['"a  b"'] },
    {
      form: new Form(signer, [HOST], ['if-match', 'range']),
      values: () => [`"${randomBytes(4).toString('hex')}"`, 'bytes=1-2'],
    },
  ];
  const asking = [keysOf('ONE'), keysOf('TWO'), keysOf('THREE', 'a token')];
  const pairs = new Map(asking.map(({ pair }) => [pair.accessKeyId, pair]));
  const signatures = new Set<string>();
  // Past midnight, when the key of the day is another one.
  for (let i = 0; i < 90; i++, now += 50)
    for (const { keys, pair } of asking) {
      const { form, values } = forms[i % forms.length] as (typeof forms)[number];
      const request = form.fill(keys, `/bucket/key-${i}%20x`, i % 2 ? 'list-type=2&prefix=a%2Fb' : '', values());
      expect(verifySigV4(received(request), 's3', pairs, now)).toMatchObject({
        ok: true,
        accessKeyId: pair.accessKeyId,
      });
      const { headers } = request;
      signatures.add(headers[headers.indexOf('authorization') + 1] as string);
      expect(request.text).toBe(
        `GET ${request.path} HTTP/1.1\r\n${headers.map((each, at) => (at % 2 ? `${each}\r\n` : `${each}: `)).join('')}\r\n`,
      );
    }
  expect(signatures.size).toBe(270);
});

test('a form has one line for each header, whatever a listing said', () => {
  const form = new Form(null, [HOST], ['if-match']);
  expect(form.fill(null, '/bucket/key', '', ['"x"']).headers).toEqual(['host', '127.0.0.1:9000', 'if-match', '"x"']);
  for (const [path, value] of [
    ['/bucket/key', '"x"\r\nx-evil: 1'],
    ['/bucket/key', '"x\0"'],
    ['/bucket/a b', '"x"'],
    ['/bucket/a\nb', '"x"'],
  ] as const)
    expect(() => form.fill(null, path, '', [value])).toThrow('more than one line');
});

test('a keyed hash is an HMAC', () => {
  for (const length of [0, 1, 32, 63, 64]) {
    const key = randomBytes(length);
    const keyed = new KeyedHash(key);
    for (const text of ['', 'a', 'b'.repeat(300), 'c'.repeat(5000), 'd'])
      expect(keyed.hex(text)).toBe(createHmac('sha256', key).update(text).digest('hex'));
  }
  expect(() => new KeyedHash(randomBytes(65))).toThrow(RangeError);
});
