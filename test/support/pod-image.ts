import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { peer } from './peers.js';
import { makeTinyLayout, type TinyEntry, type TinyLayout, type TinyLayoutOptions } from './tiny-image.js';

const CARGO_BYTES = 200_000;

/**
 * Writes an OCI layout whose image can run as a pod, with no layer that another image has: a shell, and so
 * many layers that add to /srv, the last of which also removes what the first has put there. Takes the peer
 * `busybox`.
 */
export function makePodLayout(
  directory: string,
  {
    name,
    layers,
    compression,
  }: Pick<TinyLayoutOptions, 'compression'> & { readonly name: string; readonly layers: number },
): Promise<TinyLayout> {
  const shell: TinyEntry[] = [
    { path: 'etc/' },
    { path: 'etc/name', content: `${name}\n` },
    { path: 'bin/busybox', content: readFileSync(peer('busybox') ?? 'busybox'), mode: 0o755 },
    ...['sh', 'cat', 'ls'].map((tool) => ({ path: `bin/${tool}`, link: 'busybox' })),
  ];
  const parts = Array.from({ length: layers }, (_, part): TinyEntry[] => [
    { path: 'srv/' },
    { path: `srv/part-${part}`, content: `${name} ${part}\n` },
    { path: `srv/cargo-${part}`, content: randomBytes(CARGO_BYTES) },
    ...(part > 0 && part === layers - 1 ? [{ path: 'srv/.wh.part-0' }] : []),
  ]);
  return makeTinyLayout(directory, {
    layers: [shell, ...parts],
    compression,
    config: { Entrypoint: ['/bin/busybox', 'sleep', '100000'], Env: ['PATH=/bin'] },
  });
}

/** A command in such a container that prints of every layer what the image has of it. */
export const PRINT_PARTS: readonly string[] = ['/bin/sh', '-c', 'cat /etc/name /srv/part-*'];

/** What it prints. */
export function partsOf({ name, layers }: { readonly name: string; readonly layers: number }): string {
  const parts = Array.from({ length: layers - 1 }, (_, at) => `${name} ${at + 1}\n`);
  return [`${name}\n`, ...parts].join('');
}
