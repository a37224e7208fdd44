import {
  type LockgateError,
  SecretAccessDeniedError,
  SecretManagerError,
  SecretManagerUnavailableError,
} from '../../contract/errors.ts';

/** Our error for an answer of the API server; its body is not looked at. */
export function failure(status: number): LockgateError {
  if (status === 401 || status === 403) {
    return new SecretAccessDeniedError(
      status === 401 ? 'Kubernetes does not accept who asks.' : 'Kubernetes refuses this.',
      'Workers need get and list on secrets of the namespace; who adds and lists secrets create, list and delete.',
    );
  }
  if (status === 429) {
    return new SecretManagerUnavailableError(
      'secret_manager_throttled',
      'Kubernetes asks for fewer requests.',
      'It is tried again.',
    );
  }
  if (status === 404) {
    return new SecretManagerError(
      'secret_manager_misplaced',
      'The namespace for secrets does not exist in Kubernetes.',
      'Check LOCKGATE_KUBERNETES_NAMESPACE.',
    );
  }
  return unavailable();
}

export function unavailable(): SecretManagerUnavailableError {
  return new SecretManagerUnavailableError(
    'secret_manager_unavailable',
    'Kubernetes did not answer as it should.',
    'Check the network and the server of the kubeconfig.',
  );
}
