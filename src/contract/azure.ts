const TIMEOUT_MS = 20_000;

export interface HttpClient<R, A> {
  sendRequest(request: R): Promise<A>;
}

interface Request {
  readonly url: string;
  timeout: number;
}

interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | undefined };
}

/**
 * For the `httpClient` of a client of theirs. A service that takes a request and never answers it is waited for without end otherwise; and a policy would not
 * do, because what asks for a managed identity leaves out those that it is given.
 * https://learn.microsoft.com/javascript/api/@azure/core-rest-pipeline/pipelinerequest
 */
export function answeredInTime<R extends Request, A>(client: HttpClient<R, A>): HttpClient<R, A> {
  return {
    sendRequest: (request) => {
      request.timeout ||= TIMEOUT_MS;
      return client.sendRequest(request);
    },
  };
}

/** What came of the last request for a token; null: nobody could be asked. */
export type Heard = { readonly status: number; readonly retryAfter: string | undefined } | 'nothing' | null;

/** The same, for those who ask for tokens: tells what came of each request. The library's errors leave it out where a machine's identity is asked for. */
export function heardInTime<R extends Request, A extends Answer>(
  client: HttpClient<R, A>,
  note: (heard: Heard, url: URL) => void,
): HttpClient<R, A> {
  const inTime = answeredInTime(client);
  return {
    sendRequest: async (request) => {
      const url = new URL(request.url);
      try {
        const answer = await inTime.sendRequest(request);
        note({ status: answer.status, retryAfter: answer.headers.get('retry-after') }, url);
        return answer;
      } catch (error) {
        note(UNREACHABLE.includes((error as { code?: string }).code ?? '') ? null : 'nothing', url);
        throw error;
      }
    },
  };
}

const UNREACHABLE: readonly string[] = ['ENOTFOUND', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'];

/** Whether who was asked for a token may give it out when it is asked again. */
export function isAway(heard: Heard): boolean {
  if (heard === null) return false;
  return heard === 'nothing' || heard.status >= 500 || ASK_AGAIN.includes(heard.status);
}

/** The service of a machine says 404 and 410 while it is updated: https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling */
const ASK_AGAIN: readonly number[] = [404, 410, 429];
