import { Storage } from '@google-cloud/storage';
import { OAuth2Client } from 'google-auth-library';
import type { Runtime } from '../../src/contract/connector.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { type GcsCredential, isDefaultUniverse, storageOriginOf } from './credential.ts';
import { guardOrigins, stateOrigin } from './origin-guard.ts';
import { tokenSource } from './tokens.ts';

/** Makes no request. Throws `endpoint_refused` when the credential names a host that may not be contacted, and `ambient_refused`. */
export function createStorage(credential: Secret<GcsCredential>, runtime: Runtime): Storage {
  const fields = credential.reveal();
  const origin = storageOriginOf(fields);
  // A universe and an endpoint are words of whoever wrote the file: Google's own, or what is listed.
  // The SDK's sockets take no lookup of ours, so an address could not be checked when it connects.
  if (fields.endpoint || !isDefaultUniverse(fields)) runtime.egress.assertEndpoint(new URL(origin), 'listed');
  // The SDK's own clients ignore token_uri, and the SDK shows the key of a client that it made when it is printed.
  const authClient = new OAuth2Client();
  authClient.refreshHandler = tokenSource(credential, runtime);
  guardOrigins();
  const storage = new Storage({
    authClient: authClient as never,
    ...('project_id' in fields && fields.project_id ? { projectId: fields.project_id } : {}),
    apiEndpoint: origin,
    useAuthWithCustomEndpoint: true,
    ...(isDefaultUniverse(fields) ? {} : { universeDomain: fields.universe_domain }),
    // The layers retry and time out.
    retryOptions: { autoRetry: false, maxRetries: 0 },
  });
  storage.interceptors.push(stateOrigin(new URL(origin).origin) as never);
  return storage;
}
