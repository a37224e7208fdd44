import { Client, ResponseType } from '@microsoft/microsoft-graph-client';
import type { Runtime } from '../../src/contract/connector.ts';
import type { Operation } from '../../src/contract/error-rules.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { CLOUDS } from '../entra/credential.ts';
import { ambientTokens, appTokens, type TokenSource } from '../entra/token.ts';
import type { SharePointCredential } from './credential.ts';
import { answerError, toConnectorError } from './errors.ts';

/** As Microsoft asks: https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online */
export const USER_AGENT = 'NONISV|Lockgate|Lockgate/1.0';
/** Of a quota, the share that is left when requests begin to be spread out. */
const SCARCE = 0.2;

export type Json = Readonly<Record<string, unknown>>;

/** Microsoft Graph with the token of one application, which goes to this origin and nowhere else. */
export interface Graph {
  readonly origin: string;
  /** The answer to a GET of a path or of a link that Graph gave out. Throws `ConnectorError`. */
  get(url: string, operation: Operation, signal: AbortSignal, prefer?: string): Promise<Json>;
  /** What the token says that the application may do. */
  roles(signal: AbortSignal): Promise<readonly string[]>;
}

/** Makes no request. Throws `endpoint_refused` and `ambient_refused`. */
export function openGraph(credential: Secret<SharePointCredential>, runtime: Runtime): Graph {
  const { cloud, graph_endpoint, auth, client_id } = credential.reveal();
  if (graph_endpoint) runtime.egress.assertEndpoint(new URL(graph_endpoint), 'listed');
  const origin = new URL(graph_endpoint ?? CLOUDS[cloud].graph).origin;
  const scope = `${CLOUDS[cloud].graph}/.default`;
  const tokens = auth ? ambientTokens(auth, client_id, scope, runtime) : appTokens(credential, scope, runtime);
  const client = createClient(origin, tokens, runtime);
  return {
    origin,
    get: async (url, operation, signal, prefer) => {
      const target = new URL(url, `${origin}/v1.0/`);
      if (target.origin !== origin) {
        throw new ConnectorError('invalid_listing', 'Microsoft Graph gave out a link to another host.', {
          operation,
          retryable: false,
        });
      }
      const call: Call = { url: target.href, signal, prefer };
      try {
        signal.throwIfAborted();
        const request = client.api(target.href).responseType(ResponseType.RAW).option('call', call);
        const response = (await request.get()) as Response;
        const body = await objectIn(response);
        if (response.ok && body) return body;
        throw answerError(response, operation, body?.error !== undefined);
      } catch (error) {
        throw toConnectorError(call.failure ?? error, operation, signal);
      }
    },
    roles: async (signal) => rolesOf(await tokens(signal)),
  };
}

/** Null: it is none, so it is not Graph that answered. */
async function objectIn(response: Response): Promise<Json | null> {
  const text = await response.text();
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Json) : null;
  } catch {
    return null;
  }
}

/** One call on its way through the SDK, which would take its link apart and its failure with it. */
interface Call {
  readonly url: string;
  readonly signal: AbortSignal;
  readonly prefer: string | undefined;
  failure?: unknown;
}

/** One middleware of ours: no retries, no redirects, no telemetry, and the token only to the one origin. */
function createClient(origin: string, tokens: TokenSource, runtime: Runtime): Client {
  return Client.initWithMiddleware({
    baseUrl: `${origin}/`,
    middleware: {
      execute: async (context) => {
        const { call } = context.options as unknown as { call: Call };
        try {
          context.response = await send(call, tokens);
          heedQuota(context.response.headers, runtime);
        } catch (error) {
          call.failure = error;
          throw error;
        }
      },
    },
  });
}

async function send({ url, signal, prefer }: Call, tokens: TokenSource): Promise<Response> {
  const authorization = `Bearer ${await tokens(signal)}`;
  const headers = {
    authorization,
    accept: 'application/json',
    'user-agent': USER_AGENT,
    ...(prefer ? { prefer } : {}),
  };
  return fetch(url, { headers, redirect: 'manual', signal });
}

/** Graph says how much of the quota is left when it becomes scarce; the rest is spread over the time until it is renewed. */
export function heedQuota(headers: Headers, runtime: Runtime): void {
  const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map((name) =>
    Number(headers.get(`ratelimit-${name}`) ?? Number.NaN),
  );
  if (!limit || remaining === undefined || !reset || Number.isNaN(remaining) || remaining > limit * SCARCE) return;
  runtime.slowDown((reset * 1000) / Math.max(1, remaining));
}

function rolesOf(token: string): readonly string[] {
  try {
    const { roles } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return Array.isArray(roles) ? roles.filter((role): role is string => /^[\w.]{1,64}$/.test(String(role))) : [];
  } catch {
    return [];
  }
}
