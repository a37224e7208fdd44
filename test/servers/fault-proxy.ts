import { type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { type Fault, faultyBody, sendBody } from './fault.ts';
import { LoopbackServer } from './loopback.ts';

/** Stands before a server that cannot be told to fail, and fails for it. */
export class FaultProxy extends LoopbackServer {
  fault: (request: { readonly method: string; readonly url: URL }) => Fault | undefined = () => undefined;
  /** May change where a request goes; what signs it must not cover that. */
  rewrite: (url: URL) => void = () => undefined;
  readonly #target: URL;

  constructor(target: string) {
    super();
    this.#target = new URL(target);
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.#target);
    const fault = this.fault({ method: request.method ?? '', url });
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === 'error') {
      response.writeHead(fault.status, {
        'x-ms-error-code': fault.code,
        'content-type': 'application/xml',
        ...fault.headers,
      });
      return void response.end(
        `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>${fault.message ?? ''}</Message></Error>`,
      );
    }
    this.rewrite(url);
    const onward = send(url, { method: request.method, headers: request.headers }, async (answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      const body = faultyBody(Buffer.concat(chunks), fault);
      const { 'transfer-encoding': _, ...headers } = answer.headers;
      response.writeHead(answer.statusCode ?? 502, {
        ...headers,
        ...(request.method === 'HEAD' ? {} : { 'content-length': body.length }),
      });
      sendBody(response, body, fault);
    });
    onward.on('error', () => request.socket.destroy());
    request.pipe(onward);
  }
}
