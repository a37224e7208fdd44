const TIMEOUT_MS = 20_000;

/**
 * For `additionalPolicies` of a client of theirs: a service that takes a request and never answers it is waited for without end
 * otherwise. https://learn.microsoft.com/javascript/api/@azure/core-rest-pipeline/pipelinerequest
 */
export const ANSWERS_IN_TIME = {
  position: 'perCall' as const,
  policy: {
    name: 'answersInTime',
    sendRequest: <R extends { timeout: number }, T>(request: R, next: (request: R) => Promise<T>): Promise<T> => {
      request.timeout = TIMEOUT_MS;
      return next(request);
    },
  },
};
