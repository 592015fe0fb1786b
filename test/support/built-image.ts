import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { peerOutput } from './landfall-command.js';

/**
 * What a shell script makes: it gets an empty directory, and leaves there a directory `image`, whose path is
 * answered. That is built once and kept below node_modules, under a name that follows the script, so that a
 * changed script builds anew.
 */
export async function buildOnce(name: string, script: string): Promise<string> {
  const recipe = createHash('sha256').update(script).digest('hex').slice(0, 12);
  const cache = resolve(import.meta.dirname, '../../node_modules/.cache/landfall');
  const image = join(cache, `${name}-${recipe}`);
  if (existsSync(image)) return image;
  await mkdir(cache, { recursive: true });
  const work = join(cache, `${name}-${recipe}.${process.pid}`);
  try {
    await mkdir(work);
    await peerOutput('unshare', ['-m', 'sh', '-c', script, 'build', work]);
    await rename(join(work, 'image'), image).catch((error: unknown) => {
      // Another test file was faster; its image is as good.
      if (!existsSync(image)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}

/** The blobs of an image's layers in an OCI layout, bottom first. */
export async function layerBlobs(layout: string, tag: string): Promise<string[]> {
  const raw = await peerOutput('skopeo', ['inspect', '--raw', `oci:${layout}:${tag}`]);
  const { layers } = JSON.parse(raw) as { layers: { digest: string }[] };
  return layers.map(({ digest }) => join(layout, 'blobs', ...digest.split(':')));
}

/**
 * Every directory that some layer of a layout's image lists, without slashes at the ends; the root is `''`.
 */
export async function listedDirectories(layout: string, tag: string): Promise<Set<string>> {
  const listed = new Set<string>();
  for (const blob of await layerBlobs(layout, tag)) {
    for (const name of await namesIn(blob)) if (isDirectoryName(name)) listed.add(trimmed(name));
  }
  return listed;
}

/** The names in a tar archive, compressed or not, as GNU tar lists them. */
export async function namesIn(archive: string): Promise<string[]> {
  const text = await peerOutput('tar', ['--quoting-style=literal', '-tf', archive]);
  return text.split('\n').filter((name) => name !== '');
}

/** GNU tar lists directories with a slash at the end, but for the root where it is named so. */
export function isDirectoryName(name: string): boolean {
  return name.endsWith('/') || name === '.';
}

/** A name in an archive as a path below the root, which is `''`. */
export function trimmed(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
