import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, MEDIA_TYPES, parseDigest } from '../../src/spec/index.js';
import type { CertificateAuthority } from '../support/certificate-authority.js';
import { type Lie, startLyingRegistry } from '../support/lying-registry.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { type Reply, ScriptedRegistry } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import type { Shown, Stage } from './stage.js';

/** How most of them go wrong: a small image whose registry lies in one way. */
export interface Pull {
  readonly args?: readonly string[];
  readonly layout?: (directory: string) => Promise<TinyLayout>;
  readonly lie?: (layout: TinyLayout) => (what: string) => Lie | undefined;
}

/** A pull of `team/app:1`, or what is made of it. */
export async function pulled(stage: Stage, o: Pull = {}): Promise<Shown> {
  const layout = await (o.layout ?? plainImage)(join(stage.directory, 'layout'));
  await using registry = await startLyingRegistry(layout, o.lie?.(layout));
  return await stage.run(['pull', ...(o.args ?? []), `${registry.address}/team/app:1`]);
}

export function plainImage(directory: string): Promise<TinyLayout> {
  return makeTinyLayout(directory, { platforms: ['linux/amd64'] });
}

/** An image whose only layer is this archive. */
export function imageOf(layer: Buffer): (directory: string) => Promise<TinyLayout> {
  return (directory) => makeTinyLayout(directory, { layers: [layer], compression: 'none' });
}

/** Does something with the image `team/app:1` in the store. */
export async function withImage(
  stage: Stage,
  pullArgs: readonly string[],
  act: (reference: string) => Promise<Shown>,
): Promise<Shown> {
  await using registry = await startLyingRegistry(await plainImage(join(stage.directory, 'layout')));
  const reference = `${registry.address}/team/app:1`;
  await stage.prepare('pull', '--platform', 'linux/amd64', ...pullArgs, reference);
  return await act(reference);
}

/** Asks a registry that answers everything alike. */
export async function answered(
  reply: Reply,
  ask: (address: string) => Promise<Shown>,
  tls?: CertificateAuthority,
): Promise<Shown> {
  const any = { times: 'any', ...reply } as const;
  const steps = ['GET', 'HEAD', 'DELETE'].map((method) => ({ on: `${method} /*`, ...any }));
  await using registry = await ScriptedRegistry.start(steps, tls?.server());
  return await ask(registry.address);
}

/** A pull from a registry that answers everything alike. */
export function refused(stage: Stage, reply: Reply, ...args: readonly string[]): Promise<Shown> {
  return answered(reply, (address) => stage.run(['pull', ...args, `${address}/team/app:1`]));
}

export function manifestOf(fields: object): Lie {
  return { body: Buffer.from(JSON.stringify({ schemaVersion: 2, ...fields })) };
}

export function firstLayer(layout: TinyLayout): { digest: string; bytes: Buffer } {
  const digest = layout.manifests[0].layers[0]?.digest ?? '';
  return { digest, bytes: Buffer.from(layout.blobs.get(parseDigest(digest)) ?? '') };
}

/** A policy file, and a pull under it. */
export async function pulledUnder(stage: Stage, rule: object): Promise<Shown> {
  const policy = join(stage.directory, 'policy.json');
  await writeFile(policy, JSON.stringify({ default: [rule] }, undefined, 2));
  return pulled(stage, { args: ['--policy', policy] });
}

export function publicKey(): string {
  const { publicKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return Buffer.from(key.export({ type: 'spki', format: 'pem' })).toString('base64');
}

export function noFailure(): never {
  throw new Error('expected a failure');
}

export function manifestWith(config: object): object {
  return {
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2, ...config },
    layers: [],
  };
}

export async function imageWithWrongDiffId(directory: string): Promise<TinyLayout> {
  const base = await makeTinyLayout(directory, { layers: [[{ path: 'etc/motd', content: 'ahoy\n' }]] });
  const { bytes } = firstLayer(base);
  const layer = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [digestOf(gzipSync('another'))] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
      layers: [layer],
    }),
  );
  const blobs = new Map(base.blobs).set(digestOf(config), config).set(digestOf(manifest), manifest);
  return { ...base, blobs, target: { ...base.target, digest: digestOf(manifest), size: manifest.length } };
}

/** A store on a disk of 16 MiB, and an image that needs more. */
export async function fullDisk(stage: Stage): Promise<Shown> {
  const layout = await makeTinyLayout(join(stage.directory, 'layout'), {
    layers: [[{ path: 'large', content: Buffer.alloc(20 << 20) }]],
    compression: 'none',
  });
  await using registry = await startLyingRegistry(layout);
  await using namespace = await MountNamespace.start();
  const disk = join(namespace.directory, 'disk');
  await mkdir(namespace.reach(disk));
  await outputAt(namespace, 'mount', '-t', 'tmpfs', '-o', 'size=16M', 'tmpfs', disk);
  const args = ['pull', `${registry.address}/team/app:1`];
  const { code, stderr } = await landfallAt(namespace, args, { env: { LANDFALL_ROOT: disk } });
  return {
    args,
    stderr,
    exitCode: code,
    names: [
      [disk, '/var/lib/landfall'],
      [/only [\d.]+ MB are/g, 'only … are'],
    ],
  };
}
