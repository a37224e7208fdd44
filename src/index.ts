export { type ClientSettings, createLockgateClient, type LockgateClient } from './client/client.ts';
export type { Answer, Given, OperationName } from './contract/api/index.ts';
export type { ByteRange, CheckReport, ConnectorType, Content, Entry } from './contract/connector.ts';
export {
  ConfigError,
  ConnectorError,
  type ConnectorErrorCode,
  CredentialNotFoundError,
  CredentialUnusableError,
  InputError,
  LockgateError,
  NoSecretIdsError,
  SecretAccessDeniedError,
  SecretManagerError,
  SecretManagerNotConfiguredError,
} from './contract/errors.ts';
export {
  createSecureCloudStorageConnector,
  getAvailableSecretIds,
  type SecureConnector,
  type SecureConnectorConfig,
} from './secure-connector.ts';
