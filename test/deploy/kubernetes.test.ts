import { readFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { describe, expect, it } from 'vitest';
import { type Manifest, manifestsIn, typeFaults } from '../support/kubernetes-manifests.js';
import { peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';

const DEPLOY = resolve(import.meta.dirname, '../../deploy');
const MANIFESTS = ['namespace.yaml', 'images.yaml', 'daemonset.yaml'];

/** They check against Kubernetes' own schemas, which let pass what they do not know. */
const MODELS: Readonly<Record<string, new (data: never) => { validate(): void }>> = {
  DaemonSet,
  ConfigMap,
  Namespace,
};

async function plain(): Promise<Manifest[]> {
  const texts = await Promise.all(
    MANIFESTS.map((name) => readFile(join(DEPLOY, 'kubernetes', name), 'utf8')),
  );
  return texts.flatMap(manifestsIn);
}

function validate(manifest: Manifest): void {
  const Model = MODELS[manifest.kind];
  if (Model === undefined) throw new Error(`no schema for ${manifest.kind}`);
  new Model(manifest as never).validate();
}

/** Where the types of each kind are, which let nothing pass that they do not know. */
const TYPES: Readonly<Record<string, string>> = {
  DaemonSet: 'kubernetes-models/apps/v1/DaemonSet',
  ConfigMap: 'kubernetes-models/v1/ConfigMap',
  Namespace: 'kubernetes-models/v1/Namespace',
};

const typeOf = ({ kind }: Manifest): string => TYPES[kind] ?? '';

describe('the manifests for a cluster', () => {
  it('are what Kubernetes’ schemas ask for', async () => {
    for (const manifest of await plain()) {
      expect(() => validate(manifest)).not.toThrow();
      expect(typeFaults(manifest, typeOf(manifest))).toEqual([]);
    }
  });

  it('name the registry of a site as the DaemonSet does', async () => {
    const filled = manifestsIn(await readFile(join(DEPLOY, 'kubernetes/private-registry.yaml'), 'utf8'));
    const daemonSet = JSON.stringify(await plain());
    for (const { kind, metadata } of filled as (Manifest & { metadata: { name: string } })[]) {
      const key = kind === 'Secret' ? 'secretName' : 'name';
      expect(daemonSet).toContain(`"${key}":"${metadata.name}","optional":true`);
    }
    expect(filled.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Secret']);
  });

  it('are refused where they are not', async () => {
    const daemonSet = (await plain()).find(({ kind }) => kind === 'DaemonSet');
    expect(() => validate({ ...daemonSet, spec: { template: {} } } as unknown as Manifest)).toThrow();
    const text = JSON.stringify(daemonSet).replace('livenessProbe', 'livenesProbe');
    const wrong = JSON.parse(text) as Manifest;
    expect(typeFaults(wrong, typeOf(wrong))).toEqual([expect.stringContaining('livenesProbe')]);
  });

  it('are all that lies there, with what puts them together', async () => {
    expect((await readdir(join(DEPLOY, 'kubernetes'))).sort()).toEqual(
      [...MANIFESTS, 'private-registry.yaml', 'kustomization.yaml'].sort(),
    );
  });

  it('give the daemon options that it has', async () => {
    const [daemonSet] = (await plain()).filter(({ kind }) => kind === 'DaemonSet');
    const { containers } = (
      daemonSet?.['spec'] as { template: { spec: { containers: [{ args: string[] }] } } }
    ).template.spec;
    const cli = await readFile(resolve(DEPLOY, '../docs/cli.md'), 'utf8');
    const options = containers[0].args.filter((arg) => arg.startsWith('--'));
    expect(options.length).toBeGreaterThan(4);
    for (const option of options) expect(cli).toContain(`\`${option.split('=')[0] ?? ''} `);
  });

  it.skipIf(needsPeer('kustomize') !== undefined)('are the same by kustomize', async () => {
    const built = manifestsIn(await peerOutput('kustomize', ['build', join(DEPLOY, 'kubernetes')]));
    const byName = (all: Manifest[]): Manifest[] => all.sort((a, b) => (a.kind < b.kind ? -1 : 1));
    expect(byName(built)).toEqual(byName(await plain()));
  });
});
