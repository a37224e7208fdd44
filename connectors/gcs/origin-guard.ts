import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createRequire } from 'node:module';

/** Names, within this process only, the origin that a request was made for. */
const HEADER = 'x-lockgate-origin';

/** What an agent is given of a request, before any byte of it is sent. */
interface Outgoing {
  getHeader(name: string): unknown;
  removeHeader(name: string): void;
  onSocket(socket: undefined, error: Error): void;
}

interface Target {
  readonly host?: string | null;
  readonly port?: number | string | null;
}

type AddRequest = (request: Outgoing, target: Target, ...more: unknown[]) => unknown;

/**
 * The SDK's HTTP client follows redirects, and keeps the token when only the port differs. It takes neither an agent nor
 * a setting for that from outside, so its pool gets agents that send a request to no other origin than it was made for.
 */
export function guardOrigins(): void {
  const sdk = createRequire(import.meta.resolve('@google-cloud/storage'));
  const { pool } = sdk('teeny-request/build/src/agents.js') as { pool?: unknown };
  if (!(pool instanceof Map)) throw new Error('The HTTP client of @google-cloud/storage has no pool of agents.');
  for (const [key, agent, scheme, port] of [
    ['http:forever', new HttpAgent({ keepAlive: true }), 'http:', 80],
    ['https:forever', new HttpsAgent({ keepAlive: true }), 'https:', 443],
  ] as const) {
    if (!pool.has(key)) pool.set(key, guarded(agent, scheme, port));
  }
}

/** For `Storage.interceptors`. */
export function stateOrigin(origin: string) {
  return {
    request: (options: { headers?: Record<string, string> }) => {
      options.headers = { ...options.headers, [HEADER]: origin };
      return options;
    },
  };
}

function guarded<A extends HttpAgent>(agent: A, scheme: string, defaultPort: number): A {
  const patched = agent as unknown as { addRequest: AddRequest };
  const addRequest = patched.addRequest.bind(agent);
  patched.addRequest = (request, target, ...more) => {
    const meant = request.getHeader(HEADER);
    request.removeHeader(HEADER);
    const actual = new URL(`${scheme}//${target.host}:${target.port ?? defaultPort}`).origin;
    if (meant === actual) return addRequest(request, target, ...more);
    const refusal = Object.assign(new Error('redirected to another origin'), { code: 'EREDIRECTED' });
    // As an agent says that it has no socket to give.
    request.onSocket(undefined, refusal);
    return undefined;
  };
  return agent;
}
