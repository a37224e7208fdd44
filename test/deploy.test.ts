import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { VERSION } from '../src/version.ts';

const FOLDER = fileURLToPath(new URL('../deploy/kubernetes/', import.meta.url));

// biome-ignore lint/suspicious/noExplicitAny: manifests are looked at as they are.
type Manifest = any;

const manifests: [name: string, Manifest][] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.yaml'))
  .flatMap((file) =>
    parseAllDocuments(readFileSync(`${FOLDER}${file}`, 'utf8')).map((document): [string, Manifest] => {
      expect(document.errors).toEqual([]);
      const manifest = document.toJS();
      return [`${file} ${manifest.kind} ${manifest.metadata?.name ?? ''}`, manifest];
    }),
  );
const run = promisify(execFile);
const pods = manifests.filter(([, { kind }]) => kind === 'Deployment');

describe('the manifests', () => {
  test.each(manifests.filter(([, { kind }]) => kind !== 'Kustomization'))(
    '%s is what Kubernetes knows',
    async (_name, manifest) => {
      const Model = (await import(`kubernetes-models/${manifest.apiVersion}`))[manifest.kind];
      new Model(manifest).validate();
      // And what it does not know is found.
      expect(() => new Model({ ...manifest, metadata: { name: 7 } }).validate()).toThrow();
    },
  );

  test('the set names every file, and no other', () => {
    const [, set] = manifests.find(([, { kind }]) => kind === 'Kustomization') ?? ['', {}];
    const files = readdirSync(FOLDER).filter((file) => file !== 'kustomization.yaml');
    expect([...set.resources].sort()).toEqual(files.sort());
    expect(set.images[0].newTag).toBe(VERSION);
  });

  test('the composition has no mistake that its linter knows, and gives the identity to workers alone', async () => {
    const folder = fileURLToPath(new URL('../deploy/', import.meta.url));
    const rules = ['service-keys-order', 'top-level-properties-order'].flatMap((rule) => ['--disable-rule', rule]);
    const linter = fileURLToPath(new URL('../node_modules/dclint/bin/dclint.cjs', import.meta.url));
    await run(process.execPath, [linter, `${folder}compose.yaml`, '--max-warnings', '0', ...rules]);
    const [document] = parseAllDocuments(readFileSync(`${folder}compose.yaml`, 'utf8'), { merge: true });
    const services: Manifest = document?.toJS()?.services;
    const holders = Object.entries(services).filter(([, { volumes = [] }]: [string, Manifest]) =>
      volumes.some((volume: string) => volume.startsWith('identity:')),
    );
    expect(holders.map(([name]) => name)).toEqual(['keys', 'worker']);
    for (const [name, { ports = [] }] of Object.entries(services) as [string, Manifest][])
      for (const port of ports) expect([name, port]).toEqual([name, expect.stringMatching(/^127\.0\.0\.1:/)]);
    expect(readFileSync(`${folder}example.env`, 'utf8')).not.toMatch(/^\w+=.+$/m);
    expect(existsSync(`${folder}.env`)).toBe(false);
  });

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
