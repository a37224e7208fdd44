import { memory, memoryBucket } from '../../connectors/memory/connector.ts';
import { systemClock } from '../../src/clock.ts';
import { createEgress } from '../../src/layers/egress.ts';
import { connectorConformance } from '../conformance/connector.ts';

connectorConformance('memory', async () => {
  const bucket = memoryBucket('conformance');
  return {
    connector: memory,
    runtime: { clock: systemClock, egress: createEgress([]) },
    credential: { password: bucket.password },
    rejectedCredential: { password: 'wrong' },
    requiredFields: ['password'],
    secretValues: [bucket.password],
    badPaths: ['', 'memory:', 's3://x', 'memory://UPPER'],
    path: (prefix) => `memory://conformance/${prefix}`,
    put: (key, body) => bucket.put(key, body),
    remove: (key) => bucket.delete(key),
    setPageSize: (keys) => {
      bucket.pageSize = keys;
    },
    faults: null,
    close: async () => undefined,
  };
});
