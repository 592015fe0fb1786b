import type { Referrer } from '../engine/referrer-tree.js';
import { type Digest, shortDigest } from '../spec/index.js';
import { branches, drawTree } from './format/branches.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';

const CREATED = 'org.opencontainers.image.created';

interface Line {
  /** The branches and the type. */
  readonly title: string;
  readonly digest: Digest;
  readonly size: string;
  readonly created: string;
}

/**
 * The tree of what refers to an image: type, digest, size of the manifest, and when it was made. All but the digests was
 * written by others.
 */
export function renderReferrers(
  root: string,
  referrers: readonly Referrer[],
  { unicode, width: limit }: { readonly unicode: boolean; readonly width?: number | undefined },
): string {
  if (referrers.length === 0) return `${root}\nnothing refers to it\n`;
  const drawn = drawTree(referrers, (one) => one.referrers, branches({ unicode }));
  const lines = [...drawn].map(({ node, branch }) => lineOf(node, branch));
  const width = Math.max(...lines.map(({ title }) => title.length));
  const sizes = Math.max(...lines.map(({ size }) => size.length));
  const draw = (shown: (digest: Digest) => string): string[] =>
    lines.map(({ title, digest, size, created }) =>
      [title.padEnd(width), shown(digest), size.padStart(sizes), created].join('  ').trimEnd(),
    );
  const whole = draw((digest) => digest);
  // A terminal would break them in two, and then it is no tree.
  const isTooWide = limit !== undefined && whole.some((line) => line.length > limit);
  const text = isTooWide ? draw(shortDigest) : whole;
  return `${[root, ...text].join('\n')}\n`;
}

function lineOf({ descriptor }: Referrer, branch: string): Line {
  const { artifactType, mediaType, digest, size, annotations } = descriptor;
  const type = printable(artifactType === undefined || artifactType === '' ? mediaType : artifactType);
  return {
    title: `${branch}${type}`,
    digest,
    size: formatSize(size),
    created: printable(annotations?.[CREATED] ?? ''),
  };
}
