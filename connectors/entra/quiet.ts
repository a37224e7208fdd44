import { AzureLogger } from '@azure/logger';

/** Microsoft's libraries write requests and failures to standard error when their log level says so; with them, what they carried. */
AzureLogger.log = () => undefined;
