import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What every server of the tests does: listens on loopback, on a port of the system's choice, and keeps connections
 * as long as clients do. One that is closed for its age may be closed just when a client asks on it; what a source
 * does then is tested on purpose, and is no matter of chance.
 */
export async function listenOnLoopback(server: Server): Promise<void> {
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}

export function endpointOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Also ends requests that were left to hang. */
export async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** A server of the tests: one handler, on loopback, that leaves nothing behind. */
export abstract class LoopbackServer implements AsyncDisposable {
  readonly #server = createServer((request, response) => void this.handle(request, response));

  protected abstract handle(request: IncomingMessage, response: ServerResponse): Promise<void> | void;

  async listen(): Promise<this> {
    await listenOnLoopback(this.#server);
    return this;
  }

  get endpoint(): string {
    return endpointOf(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeServer(this.#server);
  }
}
