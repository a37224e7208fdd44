import { type Endpoint, pathFields } from '../contract/api/endpoint.ts';
import { type Answer, API, type Given, type OperationName } from '../contract/api/index.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretScope } from '../contract/secret-manager.ts';

export interface ClientSettings {
  /** Such as `https://lockgate.internal`. */
  readonly url: string;
  readonly token: string;
  /** Of a token that may use several. */
  readonly workspace?: string;
  readonly fetch?: typeof fetch;
}

export interface LockgateClient {
  /** Does an operation of the service. Throws `LockgateError` with the code that the service gave, or `service_unreachable`. */
  call<K extends OperationName>(name: K, given: Given<K>, signal?: AbortSignal): Promise<Answer<K>>;
  /** Stores a credential without unwrapping it on the way. */
  putSecret(
    about: Omit<Given<'secrets.put'>, 'credential' | 'scope'> & { readonly scope?: SecretScope },
    credential: Secret<unknown>,
  ): Promise<Answer<'secrets.put'>>;
  /** The bytes of a document. */
  content(
    documentId: string,
    range?: { start: number; end?: number },
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>>;
}

/** A client of the service, typed by the schemas that the service checks with. */
export function createLockgateClient({ url, token, workspace, fetch: send = fetch }: ClientSettings): LockgateClient {
  const headers = {
    authorization: `Bearer ${token}`,
    ...(workspace ? { 'lockgate-workspace': workspace } : {}),
  };
  const request = async (path: string, init: RequestInit): Promise<Response> => {
    const target = new URL(path, url);
    try {
      // A redirect would take the token elsewhere.
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
  const call: LockgateClient['call'] = async (name, given, signal) => {
    const endpoint: Endpoint = API[name];
    const { path, body } = requestOf(endpoint, given as Record<string, unknown>);
    const response = await request(path, {
      method: endpoint.method,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
      ...(signal ? { signal } : {}),
    });
    return (await answerOf(response)) as never;
  };
  return {
    call,
    putSecret: (about, credential) => {
      const value = credential.reveal() as Record<string, unknown>;
      return call('secrets.put', { ...about, credential: value } as Given<'secrets.put'>);
    },
    content: async (documentId, range, signal) => {
      const wanted = range ? { range: `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}` } : {};
      const path = `/v1/documents/${encodeURIComponent(documentId)}/content`;
      const response = await request(path, { headers: wanted, ...(signal ? { signal } : {}) });
      if (!response.ok) await answerOf(response);
      return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
    },
  };
}

function requestOf({ method, path }: Endpoint, given: Record<string, unknown>): { path: string; body?: string } {
  const inPath = pathFields(path);
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(given[name] ?? '')));
  const rest = Object.entries(given).filter(([name, value]) => !inPath.includes(name) && value !== undefined);
  if (method !== 'GET' && method !== 'DELETE') return { path: filled, body: JSON.stringify(Object.fromEntries(rest)) };
  const query = new URLSearchParams(rest.map(([name, value]): [string, string] => [name, String(value)]));
  return { path: rest.length > 0 ? `${filled}?${query}` : filled };
}

async function answerOf(response: Response): Promise<unknown> {
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
