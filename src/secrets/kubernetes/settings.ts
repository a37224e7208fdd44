import type { Naming } from '../identifier.ts';

/** Where the secrets of a deployment lie in Kubernetes, and as whom it asks for them. */
export interface KubernetesSettings extends Naming {
  readonly backend: 'kubernetes';
  /** Null: the one that the pod runs in, or that the context names. */
  readonly namespace: string | null;
  /** Null: as the pod's service account. */
  readonly kubeconfig: string | null;
  /** Of the kubeconfig; null: its current one. */
  readonly context: string | null;
}
