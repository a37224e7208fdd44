const TIMEOUT_MS = 20_000;

interface HttpClient<R, A> {
  sendRequest(request: R): Promise<A>;
}

/**
 * For the `httpClient` of a client of theirs. A service that takes a request and never answers it is waited for without end otherwise; and a policy would not
 * do, because what asks for a managed identity leaves out those that it is given.
 * https://learn.microsoft.com/javascript/api/@azure/core-rest-pipeline/pipelinerequest
 */
export function answeredInTime<R extends { timeout: number }, A>(client: HttpClient<R, A>): HttpClient<R, A> {
  return {
    sendRequest: (request) => {
      request.timeout ||= TIMEOUT_MS;
      return client.sendRequest(request);
    },
  };
}
