import { memory, memoryBucket } from '../../connectors/memory/connector.ts';
import { connectorConformance } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';

connectorConformance('memory', async () => {
  const bucket = memoryBucket('conformance');
  return {
    connector: memory,
    runtime: runtimeFor(),
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
