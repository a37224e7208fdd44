import { Storage } from '@google-cloud/storage';
import { OAuth2Client } from 'google-auth-library';
import type { Runtime } from '../../src/contract/connector.ts';
import type { Secret } from '../../src/contract/secret.ts';
import type { AnswerHeaders, RawRequest } from '../http/messages.ts';
import { Requests } from '../http/requests.ts';
import { type GcsCredential, isDefaultUniverse, storageOriginOf } from './credential.ts';
import { tokenSource } from './tokens.ts';

/**
 * The JSON API for the two requests of which a sync makes millions. The SDK's client says where it is and who asks; its machinery, which
 * costs half a millisecond for each request, is not used for them. https://cloud.google.com/storage/docs/json_api/v1
 */
export interface GcsClient {
  readonly requests: Requests;
  /** Below `/b/`; adds the project that pays, and the token. */
  requestFor(path: string, query: URLSearchParams, headers?: readonly string[]): Promise<RawRequest>;
}

/** Makes no request. Throws `endpoint_refused` when the credential names a host that may not be contacted, and `ambient_refused`. */
export function openClient(credential: Secret<GcsCredential>, runtime: Runtime): GcsClient {
  const fields = credential.reveal();
  const origin = storageOriginOf(fields);
  // A universe and an endpoint are words of whoever wrote the file: Google's own, or what is listed.
  const named = fields.endpoint !== undefined || !isDefaultUniverse(fields);
  if (named) runtime.egress.assertEndpoint(new URL(origin), 'listed');
  // The SDK's own clients ignore token_uri, and the SDK shows the key of a client that it made when it is printed.
  const authClient = new OAuth2Client();
  authClient.refreshHandler = tokenSource(credential, runtime);
  const storage = new Storage({
    authClient: authClient as never,
    ...('project_id' in fields && fields.project_id ? { projectId: fields.project_id } : {}),
    apiEndpoint: origin,
    useAuthWithCustomEndpoint: true,
    ...(isDefaultUniverse(fields) ? {} : { universeDomain: fields.universe_domain }),
  });
  const base = new URL(storage.baseUrl);
  const payer = fields.user_project;
  const lookup = named ? runtime.egress.lookupFor(base) : undefined;
  return {
    requests: new Requests(base.origin, lookup, refusal),
    requestFor: async (path, query, headers = []) => {
      if (payer) query.set('userProject', payer);
      const proof: string[] = [];
      for (const [name, value] of await authClient.getRequestHeaders()) proof.push(name, value);
      // The bytes as they are stored: a gzip-encoded object stays gzip, and its stated hash is of these.
      const own = ['accept-encoding', 'gzip', 'user-agent', 'lockgate'];
      return { path: `${base.pathname}/b/${path}?${query}`, headers: [...own, ...headers, ...proof] };
    },
  };
}

/** An error in the form of the SDK's. Where contents are asked for, a refusal need not be JSON. */
function refusal(status: number, headers: AnswerHeaders, body: Buffer): Error {
  const reason = /"reason":\s*"(\w{1,64})"/.exec(body.toString('latin1'))?.[1];
  const errors = reason ? [{ reason }] : [];
  return Object.assign(new Error('GCS refused the request'), { code: status, errors, response: { headers } });
}
