import { main } from '../../../src/cli/main.js';
import { createRegistryServer } from '../../../src/serve/index.js';
import { type Descriptor, MEDIA_TYPES } from '../../../src/spec/index.js';
import { MemorySource } from '../../serve/memory-source.js';
import { FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

export const SBOM = 'application/vnd.example.sbom';
export const SIGNATURE = 'application/vnd.example.signature';

/** A registry of our own with some tags of one image, an SBOM of it and a signature of that. */
export interface ServedLists extends AsyncDisposable {
  readonly host: string;
  readonly image: Descriptor;
  readonly sbom: Descriptor;
  readonly signature: Descriptor;
  /** Gives one more tag. */
  readonly tag: (name: string, target: Descriptor) => void;
}

export async function serveLists(): Promise<ServedLists> {
  const source = new MemorySource();
  const platform = { os: 'linux', architecture: 'arm64', rootfs: { type: 'layers', diff_ids: [] } };
  const config = source.add(JSON.stringify(platform), MEDIA_TYPES.ociConfig);
  const type = MEDIA_TYPES.ociManifest;
  const add = (fields: object): Descriptor =>
    source.add(JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers: [], ...fields }), type);
  const image = add({});
  const created = { 'org.opencontainers.image.created': '2025-01-01T00:00:00Z' };
  const sbom = add({ artifactType: SBOM, subject: image, annotations: created });
  const signature = add({ artifactType: SIGNATURE, subject: sbom });
  for (const tag of ['1', '2', '3']) source.tag('docker.io/team/app', tag, image);
  for (const target of [sbom, signature]) source.hold('docker.io/team/app', target);
  const server = createRegistryServer({ source });
  const { host } = await server.listen({ host: '127.0.0.1', port: 0 });
  const tag = (name: string, target: Descriptor): void => {
    source.tag('docker.io/team/app', name, target);
  };
  return { host, image, sbom, signature, tag, [Symbol.asyncDispose]: () => server.close({ graceMs: 0 }) };
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process. */
export async function run(...argv: string[]): Promise<Ran> {
  const surroundings = fakeSurroundings({ env: { HOME: '/nonexistent', LANG: 'C.UTF-8' } });
  const code = await main(argv, surroundings, new FakeSignals());
  return { code, out: surroundings.stdout.text, err: surroundings.stderr.text };
}
