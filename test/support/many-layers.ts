import { archive, directory, file, hardLink, symlink } from './tar-builder.js';

/** Names below the root: `/` for a directory, `-> TARGET` for a symlink, else the content of a file. */
export type ExpectedTree = ReadonlyMap<string, string>;

export interface ManyLayers {
  /** Bottom first. */
  readonly layers: readonly Buffer[];
  /** What is left of them. */
  readonly tree: ExpectedTree;
}

/**
 * So many small layers, each of which does something to what some layer below it did: every one overwrites a
 * file, adds a directory and turns a symlink; some delete what the one below made, some empty a directory,
 * and some give a file of the lowest layer one more name.
 */
export function manyLayers(count: number): ManyLayers {
  const layers: Buffer[] = [];
  const tree = new Map<string, string>([
    ['shared', '/'],
    ['links', '/'],
    ['links/base', 'the lowest'],
    ['emptied', '/'],
  ]);
  for (let n = 0; n < count; n++) {
    const parts = [directory('shared'), file('shared/top', `${n}`), symlink('shared/last', `../own-${n}`)];
    tree.set('shared/top', `${n}`).set('shared/last', `-> ../own-${n}`);
    if (n === 0) parts.push(directory('links'), file('links/base', 'the lowest'));
    parts.push(directory(`own-${n}`), file(`own-${n}/file`, `of ${n}`));
    tree.set(`own-${n}`, '/').set(`own-${n}/file`, `of ${n}`);
    if (n % 5 === 4) {
      parts.push(file(`.wh.own-${n - 1}`));
      forget(tree, `own-${n - 1}`);
    }
    parts.push(directory('emptied'), file(`emptied/${n}`, `${n}`));
    if (n % 50 === 49) {
      parts.push(file('emptied/.wh..wh..opq'));
      forget(tree, 'emptied');
      tree.set('emptied', '/');
    }
    tree.set(`emptied/${n}`, `${n}`);
    if (n % 40 === 39) {
      parts.push(hardLink(`links/${n}`, 'links/base'));
      tree.set(`links/${n}`, 'the lowest');
    }
    layers.push(archive(...parts));
  }
  return { layers, tree };
}

function forget(tree: Map<string, string>, path: string): void {
  for (const name of [...tree.keys()]) if (name === path || name.startsWith(`${path}/`)) tree.delete(name);
}
