import { resolve } from 'node:path';
import { ConfigError } from '../../contract/errors.ts';
import { type Environment, held } from '../environment.ts';
import type { SecureStoreClientSettings } from './settings.ts';

/** Throws `ConfigError` that names the variable. */
export function readSecureStore(environment: Environment): SecureStoreClientSettings {
  const [certFile, keyFile] = [
    environment.LOCKGATE_SECURESTORE_CLIENT_CERT_FILE,
    environment.LOCKGATE_SECURESTORE_CLIENT_KEY_FILE,
  ];
  if (Boolean(certFile) !== Boolean(keyFile)) {
    throw new ConfigError(
      'LOCKGATE_SECURESTORE_CLIENT_CERT_FILE and LOCKGATE_SECURESTORE_CLIENT_KEY_FILE belong together.',
      'Set both or none.',
    );
  }
  const ca = environment.LOCKGATE_SECURESTORE_CA_FILE;
  return {
    backend: 'securestore',
    url: originIn(environment.LOCKGATE_SECURESTORE_URL ?? ''),
    caFile: ca ? resolve(ca) : null,
    token: certFile && !hasToken(environment) ? null : held(environment, 'LOCKGATE_SECURESTORE_TOKEN'),
    certificate: certFile && keyFile ? { certFile: resolve(certFile), keyFile: resolve(keyFile) } : null,
  };
}

function hasToken(environment: Environment): boolean {
  return Boolean(environment.LOCKGATE_SECURESTORE_TOKEN || environment.LOCKGATE_SECURESTORE_TOKEN_FILE);
}

/** A URL, or `host:port`; in the clear to this machine only. */
function originIn(given: string): string {
  const text = /^[\w.-]+:\d+$/.test(given) ? `https://${given}` : given;
  const url = URL.canParse(text) ? new URL(text) : null;
  const local = url !== null && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  if (url && (url.protocol === 'https:' || (url.protocol === 'http:' && local))) return url.origin;
  throw new ConfigError(
    'LOCKGATE_SECURESTORE_URL is not the address of a SecureStore.',
    'Such as https://securestore.internal:8443, or host:port.',
  );
}
