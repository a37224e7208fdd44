import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Whether this machine lets us make networks: root, and the tool for it. */
export function canSeparate(): boolean {
  try {
    const name = `lgtry${process.pid}`;
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return true;
  } catch {
    return false;
  }
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: 'ignore' });
}

/**
 * A host of its own, as far as the network goes: a namespace with one cable to here, which can be cut and mended. What it reaches
 * over the cable are relays to servers here that listen on loopback.
 */
export class Apart implements AsyncDisposable {
  readonly enter: readonly string[];
  readonly #name: string;
  readonly #address: string;
  readonly #there: string;
  readonly #relays: Server[] = [];
  readonly #sockets = new Set<Socket>();

  constructor(n: number) {
    this.#name = `lg${process.pid}n${n}`.slice(0, 12);
    this.#address = `10.77.${n}.1`;
    this.#there = `10.77.${n}.2`;
    const [here, there] = [`${this.#name}a`, `${this.#name}b`];
    ip('netns', 'add', this.#name);
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there);
    ip('link', 'set', there, 'netns', this.#name);
    ip('address', 'add', `${this.#address}/30`, 'dev', here);
    ip('link', 'set', here, 'up');
    ip('-n', this.#name, 'address', 'add', `${this.#there}/30`, 'dev', there);
    ip('-n', this.#name, 'link', 'set', there, 'up');
    ip('-n', this.#name, 'link', 'set', 'lo', 'up');
    this.enter = ['ip', 'netns', 'exec', this.#name];
  }

  /** Makes a server here reachable from there; returns its address as seen from there. */
  async relay(to: { path: string } | { port: number }, port = 0): Promise<string> {
    const server = createServer((from) => {
      const onward = 'path' in to ? connect(to.path) : connect(to.port, '127.0.0.1');
      for (const socket of [from, onward]) {
        this.#sockets.add(socket);
        socket.on('close', () => this.#sockets.delete(socket)).on('error', () => undefined);
      }
      from.pipe(onward).pipe(from);
      from.on('close', () => onward.destroy());
      onward.on('close', () => from.destroy());
    });
    server.listen(port, this.#address);
    await once(server, 'listening');
    this.#relays.push(server);
    return `${this.#address}:${(server.address() as { port: number }).port}`;
  }

  /** Has another host's addresses reachable from this one, over this one's own cable. */
  reach(other: Apart): void {
    ip('-n', this.#name, 'route', 'add', `${other.#address}/32`, 'via', this.#address);
  }

  /** Everything that is sent in either direction is lost, without a word: it goes to a card that is not there. */
  cut(): void {
    const nobody = ['lladdr', '02:00:00:00:00:99', 'nud', 'permanent'];
    ip('neigh', 'replace', this.#there, 'dev', `${this.#name}a`, ...nobody);
    ip('-n', this.#name, 'neigh', 'replace', this.#address, 'dev', `${this.#name}b`, ...nobody);
  }

  mend(): void {
    ip('neigh', 'del', this.#there, 'dev', `${this.#name}a`);
    ip('-n', this.#name, 'neigh', 'del', this.#address, 'dev', `${this.#name}b`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const relay of this.#relays) relay.close();
    ip('netns', 'del', this.#name);
  }
}
