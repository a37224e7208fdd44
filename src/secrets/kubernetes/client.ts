import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { ConfigError } from '../../contract/errors.ts';
import { type Exchanged, exchange } from '../exchange.ts';
import { hashOf, type NameRules, nameFor } from '../identifier.ts';
import { type Described, fromLabels, toLabels } from '../labels.ts';
import { failure, unavailable } from './errors.ts';
import type { KubernetesSettings } from './settings.ts';

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const PAGE_SECRETS = 250;
const POD_NAMESPACE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
/** https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names, with room for a version */
const RULES: NameRules = {
  template: '{prefix}-{workspace}-{id}-{hash}',
  refused: /[^A-Za-z0-9.-]/g,
  lowerCase: true,
  maxLength: 240,
};
/** Answers have what stands beside the values and never the values. https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches */
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

const LABEL_TYPE = 'lockgate-type';
const LABEL_WORKSPACE = 'lockgate-workspace';
/** Tells the versions of one secret. */
const LABEL_TUPLE = 'lockgate-secret';
const TUPLE_CHARACTERS = 32;

export interface Metadata {
  readonly name: string;
  readonly creationTimestamp?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** One version of a secret: an object of its own, which is never changed. */
export interface KubernetesVersion {
  readonly name: string;
  readonly number: number;
  readonly createdAt: string | null;
  readonly described: Described;
}

export class KubernetesClient {
  readonly #settings: KubernetesSettings;
  #opened: Promise<{ config: KubeConfig; server: string; namespace: string }> | undefined;

  constructor(settings: KubernetesSettings) {
    this.#settings = settings;
  }

  /** Our versions of a workspace, of one type or of all, by their labels; the latest first. */
  versions(workspace: string, type?: string): Promise<KubernetesVersion[]> {
    return this.#list(workspace, `${LABEL_WORKSPACE}=${workspace}${type ? `,${LABEL_TYPE}=${type}` : ''}`);
  }

  async versionsOf(workspace: string, id: string): Promise<KubernetesVersion[]> {
    const found = await this.#list(workspace, `${LABEL_TUPLE}=${hashOf(workspace, id, TUPLE_CHARACTERS)}`);
    return found.filter(({ described }) => described.id === id);
  }

  async #list(workspace: string, selector: string): Promise<KubernetesVersion[]> {
    const found: KubernetesVersion[] = [];
    let next = '';
    do {
      const query = new URLSearchParams({ labelSelector: selector, limit: String(PAGE_SECRETS), continue: next });
      const page = (await this.#request('GET', `secrets?${query}`, METADATA_LIST)) as {
        items?: { metadata: Metadata }[];
        metadata?: { continue?: string };
      };
      for (const { metadata } of page.items ?? []) {
        const version = this.#versionOf(metadata, workspace);
        if (version) found.push(version);
      }
      next = page.metadata?.continue ?? '';
    } while (next);
    return found.sort((a, b) => b.number - a.number);
  }

  nameOf(workspace: string, id: string, number: number): string {
    return `${nameFor(this.#settings, RULES, workspace, id)}-v${number}`;
  }

  /** What the object says of itself; null: it is not one that its name was made for. */
  #versionOf({ name, annotations, creationTimestamp }: Metadata, workspace: string): KubernetesVersion | null {
    const described = fromLabels(annotations, '-');
    const number = Number(/-v([1-9]\d{0,8})$/.exec(name)?.[1] ?? 0);
    if (described?.workspace !== workspace || name !== this.nameOf(workspace, described.id, number)) return null;
    return { name, number, createdAt: creationTimestamp ?? null, described };
  }

  /** False: something of that name is there. */
  async create(name: string, described: Described, credential: string): Promise<boolean> {
    const { id, type, workspace } = described;
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'lockgate/credential',
      immutable: true,
      metadata: {
        name,
        labels: {
          [LABEL_TYPE]: type,
          [LABEL_WORKSPACE]: workspace,
          [LABEL_TUPLE]: hashOf(workspace, id, TUPLE_CHARACTERS),
        },
        annotations: toLabels(described, '-'),
      },
      data: { credential: Buffer.from(credential).toString('base64') },
    };
    return (await this.#request('POST', 'secrets', METADATA, body, [409])) !== null;
  }

  async remove(name: string): Promise<void> {
    await this.#request('DELETE', `secrets/${encodeURIComponent(name)}`, METADATA, undefined, [404]);
  }

  /** The object with its values; null: there is none. */
  async read(
    name: string,
  ): Promise<{ metadata: Metadata & { resourceVersion?: string }; data?: Record<string, string> } | null> {
    const secret = await this.#request(
      'GET',
      `secrets/${encodeURIComponent(name)}`,
      'application/json',
      undefined,
      [404],
    );
    return secret as Awaited<ReturnType<KubernetesClient['read']>>;
  }

  /** Null: the status is among those that are `absent`. */
  async #request(
    method: string,
    path: string,
    accept: string,
    body?: object,
    absent: readonly number[] = [],
  ): Promise<object | null> {
    this.#opened ??= this.#open();
    const { config, server, namespace } = await this.#opened;
    const url = new URL(`${server.replace(/\/$/, '')}/api/v1/namespaces/${encodeURIComponent(namespace)}/${path}`);
    const text = body ? JSON.stringify(body) : undefined;
    const options: RequestOptions = { method };
    try {
      await config.applyToHTTPSOptions(options);
      // The library makes an agent for each request; without a proxy Node's own keeps its connections.
      if (!config.getCurrentCluster()?.proxyUrl) delete options.agent;
      options.headers = {
        ...options.headers,
        accept,
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      };
      const answer = await exchange(url, options, text, MAX_ANSWER_BYTES);
      if (!isOfKubernetes(answer)) throw answer.status === 429 ? failure(429) : unavailable();
      if (absent.includes(answer.status)) return null;
      if (answer.status < 200 || answer.status > 299) throw failure(answer.status);
      return answer.body;
    } catch (error) {
      throw error instanceof Error && 'hint' in error ? error : unavailable();
    }
  }

  async #open() {
    const { KubeConfig } = await import('@kubernetes/client-node');
    const { kubeconfig, context, namespace } = this.#settings;
    const config = new KubeConfig();
    try {
      if (kubeconfig) config.loadFromFile(kubeconfig);
      else config.loadFromCluster();
      if (context) config.setCurrentContext(context);
    } catch {
      throw new ConfigError('LOCKGATE_KUBERNETES_KUBECONFIG cannot be read.', 'Check the path and its mode.');
    }
    const server = config.getCurrentCluster()?.server;
    const named = namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? (await podNamespace());
    if (server && URL.canParse(server) && named) return { config, server, namespace: named };
    throw new ConfigError(
      server ? 'LOCKGATE_KUBERNETES_NAMESPACE is missing.' : 'There is no cluster to keep secrets in.',
      'Run in a pod with a service account, or set LOCKGATE_KUBERNETES_KUBECONFIG.',
    );
  }
}

async function podNamespace(): Promise<string> {
  return (await readFile(POD_NAMESPACE, 'utf8').catch(() => '')).trim();
}

/**
 * Whether the API server answered, or somebody between: its refusals are of the kind `Status`, and what it gives has a kind, too.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#common-terminology
 */
function isOfKubernetes({ status, body }: Exchanged): boolean {
  return status < 300 ? typeof body?.kind === 'string' : body?.kind === 'Status';
}
