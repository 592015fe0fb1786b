import type { Referrer } from '../engine/referrer-tree.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';

const CREATED = 'org.opencontainers.image.created';

/** What draws the branches: before a referrer, before the last one, and below each of them. */
interface Branches {
  readonly item: string;
  readonly last: string;
  readonly below: string;
  readonly belowLast: string;
}

const UNICODE: Branches = { item: '├─ ', last: '└─ ', below: '│  ', belowLast: '   ' };
const ASCII: Branches = { item: '|- ', last: '`- ', below: '|  ', belowLast: '   ' };

interface Line {
  /** The branches and the type. */
  readonly title: string;
  readonly facts: readonly string[];
}

/**
 * The tree of what refers to an image: type, digest, size of the manifest, and when it was made. All but the digests was
 * written by others.
 */
export function renderReferrers(
  root: string,
  referrers: readonly Referrer[],
  { unicode }: { readonly unicode: boolean },
): string {
  if (referrers.length === 0) return `${root}\nnothing refers to it\n`;
  const lines = linesOf(referrers, '', unicode ? UNICODE : ASCII);
  const width = Math.max(...lines.map(({ title }) => title.length));
  const sizes = Math.max(...lines.map(({ facts }) => facts[1]?.length ?? 0));
  const text = lines.map(({ title, facts: [digest = '', size = '', created = ''] }) =>
    [title.padEnd(width), digest, size.padStart(sizes), created].join('  ').trimEnd(),
  );
  return `${[root, ...text].join('\n')}\n`;
}

function linesOf(referrers: readonly Referrer[], indent: string, branches: Branches): Line[] {
  return referrers.flatMap(({ descriptor, referrers: below }, at) => {
    const isLast = at === referrers.length - 1;
    const { artifactType, mediaType, digest, size, annotations } = descriptor;
    const type = printable(artifactType === undefined || artifactType === '' ? mediaType : artifactType);
    const line = {
      title: `${indent}${isLast ? branches.last : branches.item}${type}`,
      facts: [digest, formatSize(size), printable(annotations?.[CREATED] ?? '')],
    };
    const deeper = `${indent}${isLast ? branches.belowLast : branches.below}`;
    return [line, ...linesOf(below, deeper, branches)];
  });
}
