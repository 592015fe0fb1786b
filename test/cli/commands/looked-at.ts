import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { archive, device, directory, file, hardLink, symlink } from '../../support/tar-builder.js';
import { runWithBytes, type RanWithBytes } from './archives.js';

/** Layouts with two versions of an image, in a directory of their own. */
export interface LookedAt extends AsyncDisposable {
  readonly directory: string;
  readonly one: TinyLayout;
  readonly two: TinyLayout;
  /** `oci:…` of each. */
  readonly names: { readonly one: string; readonly two: string };
  /** Runs a command in this process, with a store of its own that is empty. */
  run(...argv: string[]): Promise<RanWithBytes>;
}

export const BASE: Buffer = archive(
  directory('etc', { mode: 0o755 }),
  file('etc/hosts', '127.0.0.1 harbour\n', { mode: 0o644, mtime: 1_700_000_000 }),
  file('etc/gone', 'soon'),
  symlink('etc/link', 'hosts'),
  directory('bin'),
  file('bin/tide', 'ebb and flood', { mode: 0o4755, uid: 5, gid: 6 }),
  hardLink('bin/flood', 'bin/tide'),
  device('c', 'dev/null', 1, 3, { mode: 0o666 }),
  file('odd\x1b[2J\xff', 'odd'),
);
export const CHANGES: Buffer = archive(
  file('etc/hosts', '127.0.0.1 HARBOUR\n', { mode: 0o600, mtime: 1_700_000_001 }),
  file('etc/.wh.gone'),
  file('srv/new', 'new'),
);

export async function lookedAt(): Promise<LookedAt> {
  const work = await mkdtemp(join(tmpdir(), 'landfall-look-'));
  const [one, two] = [
    await makeTinyLayout(join(work, 'one'), { tag: 'app', layers: [BASE] }),
    await makeTinyLayout(join(work, 'two'), { tag: 'app', layers: [BASE, CHANGES] }),
  ];
  return {
    directory: work,
    one,
    two,
    names: { one: `oci:${work}/one`, two: `oci:${work}/two:app` },
    run: (...argv) => runWithBytes(['--root', join(work, 'store'), '--progress', 'none', ...argv]),
    [Symbol.asyncDispose]: () => rm(work, { recursive: true, force: true }),
  };
}
