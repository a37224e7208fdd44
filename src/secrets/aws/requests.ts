/** Without these, a service that takes a request and never answers it is waited for without end. In milliseconds, for each attempt. */
export const REQUESTS = { connectionTimeout: 10_000, requestTimeout: 20_000, throwOnRequestTimeout: true };
