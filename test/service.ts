import { setTimeout as wait } from 'node:timers/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { createLockgateClient, type LockgateClient } from '../src/client/client.ts';
import { Deployment } from './deployment.ts';

/** The service as an operator has it: `lockgate serve` on a port of the system's choice. */
export class Service implements AsyncDisposable {
  readonly deployment: Deployment;
  /** All that it wrote, and all that it answered. */
  readonly said: string[] = [];
  /** Answers that are not as the description has them. */
  readonly complaints: string[] = [];
  url = '';
  token = '';
  #process: ReturnType<Deployment['start']> | null = null;
  #check: ((path: string, method: string, status: number, body: unknown) => string | null) | null = null;

  private constructor(deployment: Deployment) {
    this.deployment = deployment;
  }

  static async start(...words: string[]): Promise<Service> {
    const service = new Service(await Deployment.start());
    service.deployment.environment.LOCKGATE_PORT = '0';
    await service.up(...words);
    return service;
  }

  async up(...words: string[]): Promise<void> {
    const started = this.deployment.start(['serve', ...words]);
    this.#process = started;
    let out = '';
    started.child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      this.said.push(chunk.toString().replace(/lgt_\S+/, ''));
    });
    started.child.stderr.on('data', (chunk: Buffer) => this.said.push(chunk.toString()));
    for (let tries = 0; !/serves (\S+) /.test(out); tries++) {
      if (tries > 300 || started.child.exitCode !== null) throw new Error(`not up: ${out} ${this.said.join('')}`);
      await wait(100);
    }
    this.url = /serves (\S+) /.exec(out)?.[1] ?? '';
    this.token = /^(lgt_\S+)$/m.exec(out)?.[1] ?? this.token;
  }

  /** Ends it and starts it with more in its environment, at the address that it had: others have been told of that. */
  async again(more: Readonly<Record<string, string>>): Promise<void> {
    await this.down();
    Object.assign(this.deployment.environment, { LOCKGATE_PORT: new URL(this.url).port, ...more });
    await this.up();
  }

  /** Sends SIGTERM and waits for the end. Returns the exit code. */
  async down(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const process = this.#process;
    if (!process) return null;
    this.#process = null;
    process.child.kill(signal);
    return (await process.ended).code;
  }

  client(token = this.token, workspace?: string): LockgateClient {
    return createLockgateClient({
      url: this.url,
      token,
      ...(workspace ? { workspace } : {}),
      fetch: (async (input: string | URL | Request, init?: RequestInit) => {
        const response = await fetch(input, init);
        await this.#note(init?.method ?? 'GET', new URL(String(input)).pathname, response.clone());
        return response;
      }) as typeof fetch,
    });
  }

  /** One request as it is, and its answer. */
  async request(
    method: string,
    path: string,
    options: { token?: string | null; body?: unknown; headers?: Record<string, string> } = {},
  ) {
    const { token = this.token, body, headers = {} } = options;
    const response = await fetch(new URL(path, this.url), {
      method,
      redirect: 'manual',
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    await this.#note(method, new URL(path, this.url).pathname, response.clone());
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parsed(text) };
  }

  /** Every answer must be one that the description has. */
  async #note(method: string, path: string, response: Response): Promise<void> {
    const text = await response.text().catch(() => '');
    this.said.push(`${method} ${response.status} ${JSON.stringify([...response.headers])} ${text}`);
    if (!response.headers.get('content-type')?.startsWith('application/json') || path.includes('openapi')) return;
    this.#check ??= await checker(this.url);
    const complaint = this.#check(path, method, response.status, parsed(text));
    if (complaint)
      this.complaints.push(`${method} ${path.slice(0, 200)} ${response.status}: ${complaint}\n${text.slice(0, 500)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await this.deployment[Symbol.asyncDispose]();
    if (this.complaints.length > 0) throw new Error(this.complaints.slice(0, 5).join('\n'));
  }
}

/** Whether answers are what `/openapi.json` says. */
async function checker(url: string) {
  const description = (await (await fetch(new URL('/openapi.json', url))).json()) as {
    paths: Record<
      string,
      Record<string, { responses: Record<string, { content?: Record<string, { schema?: object }> }> }>
    >;
    components: object;
  };
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: 'api', components: description.components });
  const routes = Object.keys(description.paths).map((path) => ({
    path,
    pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
  }));
  return (path: string, method: string, status: number, body: unknown): string | null => {
    // The one that leaves the least open, as the router has it.
    const openIn = (route: string) => route.split('{').length;
    const route = routes.filter(({ pattern }) => pattern.test(path)).sort((a, b) => openIn(a.path) - openIn(b.path))[0];
    const operation = description.paths[route?.path ?? '']?.[method.toLowerCase()];
    const responses = operation?.responses ?? description.paths['/v1/collections']?.get?.responses;
    if (!operation && status === 200) return path.startsWith('/v1/') ? 'a route that is not described' : null;
    const schema = responses?.[status === 200 ? '200' : 'default']?.content?.['application/json']?.schema;
    if (!schema) return status < 300 ? null : 'an error that is not described';
    const text = JSON.stringify(schema).replaceAll('"#/components', '"api#/components');
    const validate = ajv.compile(JSON.parse(text));
    return validate(body) ? null : ajv.errorsText(validate.errors);
  };
}

/** Reads server-sent events until `enough` of them have come. */
export async function eventsOf(response: Response, enough: (events: { event: string; data: unknown }[]) => boolean) {
  const events: { event: string; id: string | null; data: unknown }[] = [];
  let text = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const event = /^event: (.*)$/m.exec(block)?.[1];
      if (event) {
        events.push({
          event,
          id: /^id: (.*)$/m.exec(block)?.[1] ?? null,
          data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? 'null'),
        });
      }
    }
    if (enough(events)) break;
  }
  return events;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
