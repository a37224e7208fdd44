/** In milliseconds, for each attempt. Without these, a service that takes a request and never answers it is waited for without end. */
const REQUESTS = { connectionTimeout: 10_000, requestTimeout: 20_000, throwOnRequestTimeout: true };

/** How the deployment's own services of AWS are asked, whichever SDK asks them. */
export function optionsOf({ region, endpoint }: { readonly region: string; readonly endpoint: string | null }) {
  return { region, ...(endpoint ? { endpoint } : {}), maxAttempts: 3, requestHandler: REQUESTS };
}
