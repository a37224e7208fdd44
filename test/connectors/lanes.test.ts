import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { createServer as createSecureServer } from 'node:tls';
import { generate } from 'selfsigned';
import { afterEach, describe, expect, test } from 'vitest';
import { ArrivingBody } from '../../connectors/http/arriving-body.ts';
import { Lanes } from '../../connectors/http/lanes.ts';
import type { RawRequest } from '../../connectors/http/messages.ts';
import { Requests } from '../../connectors/http/requests.ts';
import { s3 } from '../../connectors/s3/connector.ts';
import { CHUNK_BYTES, giveBack } from '../../src/contract/chunk-pool.ts';
import { Secret } from '../../src/contract/secret.ts';
import { withRetry } from '../../src/layers/retry.ts';
import { withVerification } from '../../src/layers/verify.ts';
import { listAll } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { S3Server } from '../servers/s3.ts';
import { trustedCertificate } from '../servers/tls.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server that says what it is told to, to whoever has asked. */
async function serving(answer: (socket: Socket, request: string) => void, secure?: { cert: string; key: string }) {
  const sockets = new Set<Socket>();
  const handle = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (request) => answer(socket, request.toString()));
  };
  const server: Server = secure ? createSecureServer(secure, handle) : createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as { port: number };
  return { origin: new URL(`${secure ? 'https' : 'http'}://127.0.0.1:${port}`), sockets };
}

/** For a client that knows more of HTTP. */
class UnusualAnswer extends Error {}

const never = new AbortController().signal;

function lanesTo(origin: URL): Lanes {
  const lanes = new Lanes(origin, undefined, ({ receiver }) => receiver.fail(new UnusualAnswer()));
  closing.push(async () => lanes.destroy());
  return lanes;
}

function ask(lanes: Lanes, request: RawRequest, signal: AbortSignal = never): ArrivingBody {
  const body = new ArrivingBody();
  lanes.ask(request, body, signal);
  return body;
}

const GET = { path: '/large?x=1', headers: ['x-own', 'yes'] };
const head = (length: number, more = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nETag: "x"\r\n${more}\r\n`;
const bytesOf = async (body: AsyncIterable<Uint8Array>) => {
  const all: Buffer[] = [];
  // As who writes them away does: a copy, and the chunk goes back.
  for await (const chunk of body) {
    all.push(Buffer.from(chunk));
    giveBack(chunk);
  }
  return Buffer.concat(all);
};
const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('a large body', () => {
  test('arrives as it was sent, whatever its length and however it comes, many at once', async () => {
    const bodies = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 77].map((size) =>
      randomBytes(size),
    );
    const { origin } = await serving(async (socket, request) => {
      const body = bodies[Number(/GET \/(\d)/.exec(request)?.[1])] as Buffer;
      expect(request).toMatch(/\r\nhost: 127\.0\.0\.1:\d+\r\n/);
      const all = Buffer.concat([Buffer.from(head(body.length)), body, Buffer.from('and more than was stated')]);
      // Pieces of random sizes, the first of them within the head.
      for (let from = 0; from < all.length; ) {
        const size = from < 20 ? 7 : Math.ceil(Math.random() * 300_000);
        if (!socket.writable) return;
        socket.write(all.subarray(from, from + size));
        from += size;
        if (Math.random() < 0.2 || from < 40) await wait(1);
      }
    });
    const lanes = lanesTo(origin);
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        bodies.map(async (sent, at) => {
          const body = ask(lanes, { path: `/${at}`, headers: [] });
          expect(await body.begun).toMatchObject({
            status: 200,
            headers: { etag: '"x"', 'content-length': String(sent.length) },
          });
          const got = await bytesOf(body);
          expect([at, got.length, hashOf(got)]).toEqual([at, sent.length, hashOf(sent)]);
        }),
      );
    }
  });

  test('comes by TLS as well, from whom the machine trusts only', async () => {
    const sent = randomBytes(3 * CHUNK_BYTES + 5);
    const answer = (socket: Socket) => void socket.end(Buffer.concat([Buffer.from(head(sent.length)), sent]));
    const { origin } = await serving(answer, await trustedCertificate());
    for (const host of [origin.host, `localhost:${origin.port}`]) {
      const body = ask(lanesTo(new URL(`https://${host}`)), GET);
      expect(hashOf(await bytesOf(body))).toBe(hashOf(sent));
    }
    const stranger = await generate([{ name: 'commonName', value: '127.0.0.1' }], { algorithm: 'sha256' });
    const { origin: strange } = await serving(answer, { cert: stranger.cert, key: stranger.private });
    const refused = ask(lanesTo(strange), GET);
    await expect(refused.begun).rejects.toMatchObject({ code: expect.stringMatching(/CERT|SELF_SIGNED/) });
  });

  test('that breaks off is an error after all that came of it', async () => {
    const { origin } = await serving((socket) =>
      socket.end(Buffer.concat([Buffer.from(head(2_000_000)), Buffer.alloc(1_500_000, 7)])),
    );
    const body = ask(lanesTo(origin), GET);
    let came = 0;
    const read = async () => {
      for await (const chunk of body) came += chunk.length;
    };
    await body.begun;
    await expect(read()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(came).toBe(1_500_000);
    const { origin: closed } = await serving((socket) => socket.destroy());
    await expect(ask(lanesTo(closed), GET).begun).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('that comes slowly is not waited for until a chunk is full', async () => {
    const { origin } = await serving((socket) => void socket.write(`${head(5_000_000)}the beginning`));
    const body = ask(lanesTo(origin), GET);
    await body.begun;
    const started = Date.now();
    for await (const chunk of body) {
      expect(Buffer.from(chunk).toString()).toBe('the beginning');
      break;
    }
    expect(Date.now() - started).toBeLessThan(5000);
  });

  test('nobody reads makes the sender wait, and who stops reading lets go of the connection', async () => {
    let sent = 0;
    const { origin, sockets } = await serving((socket) => {
      socket.write(head(500_000_000));
      const piece = Buffer.alloc(CHUNK_BYTES);
      const more = (): void => {
        sent += piece.length;
        if (sent < 500_000_000 && socket.writable) socket.write(piece, more);
      };
      more();
    });
    const body = ask(lanesTo(origin), GET);
    await body.begun;
    await wait(500);
    // What two chunks and the system's own buffers hold.
    expect(sent).toBeLessThan(40 * CHUNK_BYTES);
    const before = sent;
    let read = 0;
    for await (const chunk of body) {
      read += chunk.length;
      giveBack(chunk);
      if (read > 60 * CHUNK_BYTES) break;
    }
    expect(sent).toBeGreaterThan(before);
    for (let tries = 0; tries < 100 && [...sockets].some((socket) => !socket.destroyed); tries++) await wait(20);
    expect([...sockets].every((socket) => socket.destroyed)).toBe(true);
  });

  test('ends with the reason of its signal', async () => {
    const { origin } = await serving((socket) => void socket.write(`${head(5_000_000)}x`));
    const stop = new AbortController();
    const body = ask(lanesTo(origin), GET, stop.signal);
    await body.begun;
    setTimeout(() => stop.abort(new Error('enough')), 50);
    await expect(bytesOf(body)).rejects.toThrow('enough');
    const late = ask(lanesTo(origin), GET, AbortSignal.abort(new Error('too late')));
    await expect(late.begun).rejects.toThrow('too late');
  });

  test('ends with its signal together with the others of that signal, and those that have ended stay as they are', async () => {
    let asked = 0;
    const { origin, sockets } = await serving((socket) => {
      if (++asked <= 5) socket.write(`${head(4)}good`);
    });
    const stop = new AbortController();
    const lanes = lanesTo(origin);
    for (let i = 0; i < 5; i++) expect((await bytesOf(ask(lanes, GET, stop.signal))).toString()).toBe('good');
    const open = Array.from({ length: 10 }, () => bytesOf(ask(lanes, GET, stop.signal)));
    await expect.poll(() => asked).toBe(15);
    stop.abort(new Error('enough'));
    for (const each of await Promise.allSettled(open)) expect(each).toMatchObject({ reason: { message: 'enough' } });
    await expect.poll(() => [...sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });

  test('of another form is asked for again by who knows more of HTTP; a refusal is one', async () => {
    const text = 'x'.repeat(1000);
    const unusual = `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${text}`;
    const answers = [
      unusual,
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      'HTTP/1.0 200 OK\r\n\r\nno length',
      `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
      `HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n`,
      `${'x'.repeat(100_000)}\r\n\r\n`,
    ];
    for (const answer of answers) {
      const { origin } = await serving((socket) => void socket.end(answer));
      await expect(ask(lanesTo(origin), GET).begun).rejects.toBeInstanceOf(UnusualAnswer);
    }
    let asked = 0;
    const { origin } = await serving((socket) => {
      asked++;
      socket.end(unusual);
    });
    const requests = new Requests(origin.origin, undefined, (status, _headers, body) => new Error(`${status} ${body}`));
    closing.push(async () => requests.destroy());
    const body = await requests.stream(GET, never, (_headers, coming) => coming);
    expect((await bytesOf(body)).toString()).toBe(text);
    expect(asked).toBe(2);
    const { origin: refusing } = await serving(
      (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nnot so'),
    );
    const refused = new Requests(
      refusing.origin,
      undefined,
      (status, _headers, said) => new Error(`${status} ${said}`),
    );
    closing.push(async () => refused.destroy());
    await expect(refused.stream(GET, never, () => undefined)).rejects.toThrow('403 not so');
  });

  test('is asked for in one line: nothing in a key makes two requests of it', async () => {
    const origin = new URL('http://127.0.0.1:9');
    for (const bad of [
      { path: '/a b', headers: [] },
      { path: '/a\r\nx: y', headers: [] },
      { path: '/a', headers: ['x', 'y\r\nz: w'] },
    ])
      await expect(ask(lanesTo(origin), bad).begun).rejects.toThrow('more than one line');
  });

  test('of a bucket goes on where it broke off, and is verified as one', async () => {
    await using server = await new S3Server().listen();
    server.keys.set('AKIAFAKE', { secretAccessKey: 'fake' });
    const sent = randomBytes(20 * CHUNK_BYTES + 4321);
    server.put('docs', 'large object.bin', sent);
    const runtime = runtimeFor(server.endpoint);
    const fields = { access_key_id: 'AKIAFAKE', secret_access_key: 'fake', endpoint: server.endpoint };
    const credential = new Secret(s3.parseCredential(fields));
    await using source = withVerification(
      withRetry(s3.open(credential, s3.parseLocation('s3://docs'), runtime), true, runtime.clock),
    );
    const [entry] = await listAll(source);
    let cuts = 0;
    server.fault = ({ operation }) =>
      operation === 'GetObject' && cuts++ < 2 ? { kind: 'cut', after: 7_000_000 } : undefined;
    const content = await source.read(entry as never, undefined, never);
    expect(hashOf(await bytesOf(content.body))).toBe(hashOf(sent));
    expect(cuts).toBe(3);
    server.fault = ({ operation }) => (operation === 'GetObject' ? { kind: 'corrupt' } : undefined);
    const wrong = await source.read(entry as never, undefined, never);
    await expect(bytesOf(wrong.body)).rejects.toMatchObject({ code: 'checksum_mismatch' });
  });
});

describe('a lane', () => {
  const said = (text: string, more = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n${more}\r\n${text}`;
  const read = async (lanes: Lanes, path = '/a') => (await bytesOf(ask(lanes, { path, headers: [] }))).toString();

  test('is used again, for one answer after the other, and by each at its own time', async () => {
    const { origin, sockets } = await serving((socket, request) => {
      socket.write(said(`you asked for ${/GET (\S+)/.exec(request)?.[1]}`));
    });
    const lanes = lanesTo(origin);
    for (let i = 0; i < 50; i++) expect(await read(lanes, `/${i}`)).toBe(`you asked for /${i}`);
    expect(sockets.size).toBe(1);
    const many = await Promise.all(Array.from({ length: 20 }, (_, i) => read(lanes, `/${i}`)));
    expect(many).toEqual(Array.from({ length: 20 }, (_, i) => `you asked for /${i}`));
    expect(sockets.size).toBe(20);
  });

  test('takes chunked bodies apart, however they are cut, with extensions and trailers', async () => {
    const sent = Array.from({ length: 6 }, (_, i) => randomBytes(i * 70_001));
    const { origin, sockets } = await serving(async (socket, request) => {
      const body = sent[Number(/GET \/(\d)/.exec(request)?.[1])] as Buffer;
      const pieces: Buffer[] = [Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')];
      for (let from = 0; from < body.length; ) {
        const data = body.subarray(from, from + Math.ceil(Math.random() * 20_000));
        const extension = Math.random() < 0.3 ? ';name="value"' : '';
        pieces.push(
          Buffer.from(`${data.length.toString(16).toUpperCase()}${extension}\r\n`),
          data,
          Buffer.from('\r\n'),
        );
        from += data.length;
      }
      const all = Buffer.concat([...pieces, Buffer.from('0\r\nX-Trailer: yes\r\n\r\n')]);
      for (let from = 0; from < all.length; ) {
        const size = Math.random() < 0.3 ? 1 : Math.ceil(Math.random() * 30_000);
        socket.write(all.subarray(from, from + size));
        from += size;
        if (Math.random() < 0.2) await wait(1);
      }
    });
    const lanes = lanesTo(origin);
    for (let round = 0; round < 3; round++) {
      for (const [at, body] of sent.entries())
        expect(hashOf(await bytesOf(ask(lanes, { path: `/${at}`, headers: [] })))).toBe(hashOf(body));
    }
    expect(sockets.size).toBe(1);
    for (const wrong of [
      '5\r\nhello0\r\n\r\n',
      'x\r\n',
      '-1\r\n\r\n',
      '5\nhello\n0\n\n',
      `${'0'.repeat(9000)}\r\n\r\n`,
    ]) {
      const { origin: bad } = await serving(
        (socket) => void socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${wrong}`),
      );
      await expect(read(lanesTo(bad))).rejects.toMatchObject({ code: 'EPROTO' });
    }
    const { origin: cut } = await serving(
      (socket) => void socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'),
    );
    await expect(read(lanesTo(cut))).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('whose server has closed it is another one, once, and before anything has come only', async () => {
    let asked = 0;
    const { origin } = await serving((socket) => {
      asked++;
      // The second request of each connection finds it closed.
      if (asked % 2 === 1) socket.write(said('first'));
      else socket.destroy();
    });
    const lanes = lanesTo(origin);
    expect(await read(lanes)).toBe('first');
    expect(await read(lanes)).toBe('first');
    expect(asked).toBe(3);
    let half = 0;
    const { origin: breaking } = await serving((socket) => {
      half++;
      if (half === 1) socket.write(said('first'));
      else socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it');
    });
    const others = lanesTo(breaking);
    expect(await read(others)).toBe('first');
    await expect(read(others)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(half).toBe(2);
  });

  test('is not used again where its server says so, or says more than it was asked for', async () => {
    for (const answer of [
      said('good', 'Connection: close\r\n'),
      said('good', 'Keep-Alive: timeout=1\r\n'),
      `${said('good')}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
    ]) {
      const { origin, sockets } = await serving((socket) => void socket.write(answer));
      const lanes = lanesTo(origin);
      for (let i = 0; i < 3; i++) expect(await read(lanes)).toBe('good');
      expect(sockets.size).toBe(3);
    }
    // What comes when nobody has asked is nobody's answer.
    const { origin, sockets } = await serving((socket) => {
      socket.write(said('good'));
      setTimeout(() => socket.write(said('evil')), 20);
    });
    const lanes = lanesTo(origin);
    for (let i = 0; i < 3; i++) {
      expect(await read(lanes)).toBe('good');
      await expect.poll(() => [...sockets].every(({ destroyed }) => destroyed)).toBe(true);
    }
    expect(sockets.size).toBe(3);
  });

  test('is not used again when it has been idle for longer than its server keeps it, and is let go then', async () => {
    const closed: number[] = [];
    let connections = 0;
    const { origin, sockets } = await serving((socket) => {
      if (socket.listenerCount('close') < 2) {
        const number = ++connections;
        socket.once('close', () => closed.push(number));
      }
      socket.write(said('good', 'Keep-Alive: timeout=2\r\n'));
    });
    const lanes = lanesTo(origin);
    for (let i = 0; i < 3; i++) expect(await read(lanes)).toBe('good');
    expect(sockets.size).toBe(1);
    await wait(1050);
    expect(await read(lanes)).toBe('good');
    expect(sockets.size).toBe(2);
    await expect.poll(() => closed, { timeout: 5000 }).toEqual([1, 2]);
  });

  test('brings pages of any length, and no more than may be', async () => {
    const { origin } = await serving((socket, request) => {
      const length = Number(/GET \/(\d+)/.exec(request)?.[1]);
      socket.write(said('x'.repeat(length)));
    });
    const requests = new Requests(origin.origin, undefined, (status) => new Error(`${status}`));
    closing.push(async () => requests.destroy());
    const lengthOf = (length: number) =>
      requests.page({ path: `/${length}`, headers: [] }, 3_000_000, never, (body) => body.toString().length);
    for (const length of [0, 1, 200_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3_000_000])
      expect(await lengthOf(length)).toBe(length);
    await expect(lengthOf(3_000_001)).rejects.toMatchObject({ code: 'truncated' });
    const wholeOf = (length: number) =>
      requests.whole({ path: `/${length}`, headers: [] }, 600_000, never, (_headers, body) => body.length);
    expect(await wholeOf(600_000)).toBe(600_000);
    await expect(wholeOf(600_001)).rejects.toThrow('more than the 600000');
  });

  test('brings pages that come at once each in memory of its own, stated or in chunks, and uses that again', async () => {
    const { origin } = await serving((socket, request) => {
      const [, form, letter = '', length] = /GET \/(\w+)\/(\w)\/(\d+)/.exec(request) ?? [];
      const text = letter.repeat(Number(length));
      if (form === 'stated') return socket.write(said(text));
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      for (let at = 0; at < text.length; at += 50_000) {
        const piece = text.slice(at, at + 50_000);
        socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
      }
      return socket.write('0\r\n\r\n');
    });
    const requests = new Requests(origin.origin, undefined, (status) => new Error(`${status}`));
    closing.push(async () => requests.destroy());
    const memories = new Set<ArrayBufferLike>();
    const assertPage = (path: string) =>
      requests.page({ path: `/${path}`, headers: [] }, 4_000_000, never, async (body) => {
        memories.add(body.buffer);
        await wait(5);
        const [, letter = '', length] = path.split('/');
        expect(body.toString()).toBe(letter.repeat(Number(length)));
      });
    for (let round = 0; round < 12; round++) {
      const lengths = [3_200_000, 10, 1_100_000 + round, 2_500_000];
      const forms = round % 2 ? ['chunked', 'stated'] : ['stated', 'chunked'];
      await Promise.all(lengths.map((length, i) => assertPage(`${forms[i % 2]}/${'abcd'[i]}/${length}`)));
      await assertPage(`${forms[0]}/e/3300000`);
    }
    // 48 had more than a chunk.
    expect(memories.size).toBeLessThan(40);
  });
});
