import type { Connector, ConnectorType } from '../src/contract/connector.ts';

// biome-ignore lint/suspicious/noExplicitAny: each connector has its own credential and location; callers pass them through unread.
export type AnyConnector = Connector<any, any>;

/** The only list of connectors. Each is loaded, with its SDK, when it is first used. */
const LOADERS: Readonly<Record<ConnectorType, () => Promise<AnyConnector>>> = {
  azure: async () => (await import('./azure/connector.ts')).azure,
  gcs: async () => (await import('./gcs/connector.ts')).gcs,
  s3: async () => (await import('./s3/connector.ts')).s3,
  sharepoint: async () => (await import('./sharepoint/connector.ts')).sharepoint,
};

export function loadConnector(type: ConnectorType): Promise<AnyConnector> {
  return LOADERS[type]();
}
