import { type Endpoint, pathFields } from '../contract/api/endpoint.ts';
import type { Answer, Given, OperationName } from '../contract/api/index.ts';
import { LockgateError } from '../contract/errors.ts';

/** Where each operation is. */
export type Endpoints = Readonly<Record<OperationName, Pick<Endpoint, 'method' | 'path'>>>;

export interface TransportSettings {
  /** Such as `https://lockgate.internal`. */
  readonly url: string;
  /** Of every request; with it goes whatever proves who asks. */
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch?: typeof fetch;
}

export interface Transport {
  /** Does an operation of the service. Throws `LockgateError` with the code that the service gave, or `service_unreachable`. */
  call<K extends OperationName>(name: K, given: Given<K>, signal?: AbortSignal): Promise<Answer<K>>;
  /** One request as it is. Throws `service_unreachable`. */
  request(path: string, init: RequestInit): Promise<Response>;
}

/** Sends operations to the service, for programs and for pages alike. */
export function createTransport(
  { url, headers, fetch: send = fetch }: TransportSettings,
  endpoints: Endpoints,
): Transport {
  const request: Transport['request'] = async (path, init) => {
    const target = new URL(path, url);
    try {
      // A redirect would take what proves who asks elsewhere.
      return await send(target, { ...init, headers: { ...headers, ...init.headers }, redirect: 'error' });
    } catch {
      init.signal?.throwIfAborted();
      throw new LockgateError(
        'service_unreachable',
        `Lockgate does not answer at ${target.origin}.`,
        'Check its address, and that it runs.',
      );
    }
  };
  return {
    request,
    call: async (name, given, signal) => {
      const { path, body } = requestOf(endpoints[name], given as Record<string, unknown>);
      const response = await request(path, {
        method: endpoints[name].method,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
        ...(signal ? { signal } : {}),
      });
      return (await answerOf(response)) as never;
    },
  };
}

function requestOf(
  { method, path }: Pick<Endpoint, 'method' | 'path'>,
  given: Record<string, unknown>,
): { path: string; body?: string } {
  const inPath = pathFields(path);
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(given[name] ?? '')));
  const rest = Object.entries(given).filter(([name, value]) => !inPath.includes(name) && value !== undefined);
  if (method !== 'GET' && method !== 'DELETE') return { path: filled, body: JSON.stringify(Object.fromEntries(rest)) };
  const query = new URLSearchParams(rest.map(([name, value]): [string, string] => [name, String(value)]));
  return { path: rest.length > 0 ? `${filled}?${query}` : filled };
}

/** What the service said. Throws `LockgateError` for a refusal. */
export async function answerOf(response: Response): Promise<unknown> {
  const body = (await response.json().catch(() => null)) as {
    error?: { code: string; message: string; hint?: string };
  } | null;
  if (response.ok && body !== null) return body;
  const {
    code = 'service_failed',
    message = `The service answered with status ${response.status}.`,
    hint,
  } = body?.error ?? {};
  throw new LockgateError(code, message, hint);
}
