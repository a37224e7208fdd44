import { lookup as resolveName } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { Egress } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

/** Addresses that a public service does not have: loopback, private, link-local (cloud metadata), multicast, reserved. */
const INTERNAL = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  INTERNAL.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of [
  ['::', 128],
  ['::1', 128],
  ['64:ff9b::', 96],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  INTERNAL.addSubnet(network, bits, 'ipv6');

/**
 * The guard for endpoints that a secret names. HTTPS to a public address is allowed; anything else only where the
 * deployment lists the origin. The address is checked when the socket connects, so a name that resolves to something
 * else by then gains nothing.
 */
export function createEgress(allowedOrigins: readonly string[]): Egress {
  const allowed = new Set(allowedOrigins);
  return {
    assertEndpoint: (endpoint, rule) => {
      if (allowed.has(endpoint.origin)) return;
      if (rule === 'listed') throw refusal(endpoint, "is none of the provider's");
      if (endpoint.protocol !== 'https:') throw refusal(endpoint, 'is not https');
      const host = endpoint.hostname.replace(/^\[|\]$/g, '');
      if (isInternal(host) || /(^|\.)localhost$/.test(host)) throw refusal(endpoint, 'is an internal address');
    },
    lookupFor: (endpoint) => (allowed.has(endpoint.origin) ? undefined : publicOnly),
  };
}

function isInternal(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return false;
  return INTERNAL.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

const publicOnly: LookupFunction = (hostname, options, callback) => {
  resolveName(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0);
    const bad = addresses.find(({ address }) => isInternal(address));
    const first = addresses[0];
    if (bad || !first)
      return callback(Object.assign(new Error('internal address refused'), { code: 'EREFUSED' }), '', 0);
    if (options.all) return callback(null, addresses);
    callback(null, first.address, first.family);
  });
};

function refusal(endpoint: URL, why: string): ConnectorError {
  return new ConnectorError('endpoint_refused', `The endpoint ${endpoint.origin} of the credential ${why}.`, {
    operation: 'open',
    retryable: false,
    hint: `If it is meant, allow it for this deployment: LOCKGATE_ALLOWED_ENDPOINTS=${endpoint.origin}`,
  });
}
