import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { parseShard } from '../../src/transfer/sync/shard.js';
import { readMirrorFile } from '../../src/transfer/sync/read-mirror-file.js';
import { type Manifest, manifestsIn, typeFaults } from '../support/kubernetes-manifests.js';
import { peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';

const DIRECTORY = resolve(import.meta.dirname, '../../deploy/kubernetes-mirror');
const FILES = ['namespace.yaml', 'mirror.yaml', 'job.yaml'];

const MODELS: Readonly<Record<string, new (data: never) => { validate(): void }>> = {
  Job,
  ConfigMap,
  Namespace,
};
const TYPES: Readonly<Record<string, string>> = {
  Job: 'kubernetes-models/batch/v1/Job',
  ConfigMap: 'kubernetes-models/v1/ConfigMap',
  Namespace: 'kubernetes-models/v1/Namespace',
};

async function plain(): Promise<Manifest[]> {
  const texts = await Promise.all(FILES.map((name) => readFile(join(DIRECTORY, name), 'utf8')));
  return texts.flatMap(manifestsIn);
}

function validate(manifest: Manifest): void {
  const Model = MODELS[manifest.kind];
  if (Model === undefined) throw new Error(`no schema for ${manifest.kind}`);
  new Model(manifest as never).validate();
}

interface JobSpec {
  readonly completions: number;
  readonly parallelism: number;
  readonly podFailurePolicy: { readonly rules: readonly object[] };
  readonly template: {
    readonly spec: { readonly containers: readonly [{ readonly args: readonly string[] }] };
  };
}

async function jobSpec(): Promise<JobSpec> {
  const job = (await plain()).find(({ kind }) => kind === 'Job');
  return job?.['spec'] as JobSpec;
}

describe('the Job that mirrors', () => {
  it('is what Kubernetes’ schemas ask for', async () => {
    for (const manifest of await plain()) {
      expect(() => validate(manifest)).not.toThrow();
      expect(typeFaults(manifest, TYPES[manifest.kind] ?? '')).toEqual([]);
    }
  });

  it('is refused where it is not', async () => {
    const job = (await plain()).find(({ kind }) => kind === 'Job');
    const text = JSON.stringify(job).replace('backoffLimitPerIndex', 'backoffLimitPerIndexes');
    expect(typeFaults(JSON.parse(text) as Manifest, TYPES['Job'] ?? '')).toEqual([
      expect.stringContaining('backoffLimitPerIndexes'),
    ]);
  });

  it('is all that lies there, with what puts it together', async () => {
    expect((await readdir(DIRECTORY)).sort()).toEqual([...FILES, 'kustomization.yaml'].sort());
  });

  it('has as many parts as --shard says, each by its index', async () => {
    const { completions, template } = await jobSpec();
    const shards = Array.from({ length: completions }, (_, index) =>
      template.spec.containers[0].args
        .map((arg) => arg.replace('$(JOB_COMPLETION_INDEX)', String(index)))
        .flatMap((arg) => (arg.startsWith('--shard=') ? [parseShard(arg.slice('--shard='.length))] : [])),
    ).flat();
    expect(shards).toEqual(
      Array.from({ length: completions }, (_, index) => ({ index, count: completions })),
    );
  });

  it('gives options that there are', async () => {
    const { template } = await jobSpec();
    const program = createProgram(() => Promise.resolve());
    await expect(
      program.parseAsync([...template.spec.containers[0].args], { from: 'user' }),
    ).resolves.toBeDefined();
  });

  it('fails as a whole where the file is wrong, and only then', async () => {
    const { podFailurePolicy } = await jobSpec();
    expect(podFailurePolicy.rules).toContainEqual({
      action: 'FailJob',
      onExitCodes: { containerName: 'landfall', operator: 'In', values: [2] },
    });
  });

  it('mirrors what its file says', async () => {
    const config = (await plain()).find(({ kind }) => kind === 'ConfigMap');
    const { 'mirror.yaml': text = '' } = config?.['data'] as Record<string, string>;
    const file = readMirrorFile(text, { name: 'mirror.yaml', directory: '/', now: 0 });
    expect(file.destinations.length).toBe(1);
    expect(file.sources.length).toBe(1);
  });

  it.skipIf(needsPeer('kustomize') !== undefined)('is the same by kustomize', async () => {
    const built = manifestsIn(await peerOutput('kustomize', ['build', DIRECTORY]));
    const byKind = (all: Manifest[]): Manifest[] => all.sort((a, b) => (a.kind < b.kind ? -1 : 1));
    expect(byKind(built)).toEqual(byKind(await plain()));
  });
});
