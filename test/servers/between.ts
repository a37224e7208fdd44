import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { LoopbackServer } from './loopback.ts';

const PAGE = '<html><head><title>Error</title></head><body>Corporate proxy</body></html>';

/** What may stand between us and a service and answers in its place: a proxy's page, a gateway's own JSON, or bytes that never end. */
export class Between extends LoopbackServer {
  answer: { readonly status: number; readonly body: 'page' | 'json' | 'drops' } = { status: 404, body: 'page' };

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const { status, body } = this.answer;
    if (body === 'page') return void response.writeHead(status, { 'content-type': 'text/html' }).end(PAGE);
    response.writeHead(status, { 'content-type': 'application/json' });
    if (body === 'json') return void response.end('{"message":"no Route matched with those values"}');
    while (!response.destroyed) {
      response.write(' ');
      await wait(20);
    }
  }
}
