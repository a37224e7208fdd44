import type { SourceSettings } from '../src/collections/sources.ts';

/** A source for tests that are about something else than its settings. */
export const SOURCE_SETTINGS: SourceSettings = {
  connectorType: 's3',
  credentialManager: 'default',
  credentialVersion: null,
  credentialFields: null,
  credentialId: 'k',
  path: 's3://docs',
  settings: {},
  include: [],
  exclude: [],
  maxBytes: null,
  autoSync: false,
  schedule: null,
  guardDocuments: 100,
  guardShare: 0.5,
  jitterSeconds: 0,
  pauseAfter: 50,
  workerLabel: null,
};
