import { type Answer, API, type Given } from '../contract/api/index.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretScope } from '../contract/secret-manager.ts';
import { answerOf, createTransport, type Transport } from './transport.ts';

export interface ClientSettings {
  /** Such as `https://lockgate.internal`. */
  readonly url: string;
  readonly token: string;
  /** Of a token that may use several. */
  readonly workspace?: string;
  readonly fetch?: typeof fetch;
}

export interface LockgateClient extends Pick<Transport, 'call'> {
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
  const { call, request } = createTransport({ url, headers, fetch: send }, API);
  return {
    call,
    putSecret: (about, credential) => {
      const value = credential.reveal() as Record<string, unknown>;
      return call('secrets.put', { ...about, credential: value } as Given<'secrets.put'>);
    },
    content: async (documentId, range, signal) => {
      const wanted: Record<string, string> = range
        ? { range: `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}` }
        : {};
      const path = `/v1/documents/${encodeURIComponent(documentId)}/content`;
      const response = await request(path, { headers: wanted, ...(signal ? { signal } : {}) });
      if (!response.ok) await answerOf(response);
      return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
    },
  };
}
