import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';

const FOLDER = fileURLToPath(new URL('../deploy/kubernetes/', import.meta.url));

// biome-ignore lint/suspicious/noExplicitAny: manifests are looked at as they are.
type Manifest = any;

const manifests: [name: string, Manifest][] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.yaml'))
  .flatMap((file) =>
    parseAllDocuments(readFileSync(`${FOLDER}${file}`, 'utf8')).map((document): [string, Manifest] => {
      expect(document.errors).toEqual([]);
      const manifest = document.toJS();
      return [`${file} ${manifest.kind} ${manifest.metadata.name}`, manifest];
    }),
  );
const pods = manifests.filter(([, { kind }]) => kind === 'Deployment');

describe('the manifests', () => {
  test.each(pods)('%s runs with no more rights than it needs', (_name, { spec }) => {
    const pod = spec.template.spec;
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    for (const container of pod.containers) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(container.resources.limits.memory).toBeTruthy();
      // A secret stands in no manifest.
      for (const { name, value } of container.env ?? [])
        if (/TOKEN$|PASSWORD|DATABASE_URL|_KEY$/.test(name)) expect(value ?? 'file:', name).toMatch(/^file:/);
      const mounted = new Set(container.volumeMounts.map((mount: { name: string }) => mount.name));
      expect(mounted).toEqual(new Set(pod.volumes.map((volume: { name: string }) => volume.name)));
    }
    expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels);
  });

  test('only workers are who may reveal', () => {
    const tokens = pods.filter(([, { spec }]) => JSON.stringify(spec).includes('serviceAccountToken'));
    expect(tokens.map(([, { metadata }]) => metadata.name)).toEqual(['lockgate-worker']);
    const accounts = new Set(pods.map(([, { spec }]) => spec.template.spec.serviceAccountName));
    expect(accounts).toEqual(new Set(['worker', 'api', 'securestore', undefined]));
    expect(manifests.some(([, { kind }]) => kind === 'NetworkPolicy')).toBe(true);
  });
});
