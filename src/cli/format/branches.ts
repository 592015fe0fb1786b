/** What draws the branches of a tree: before something, before the last of several, and below each of them. */
export interface Branches {
  readonly item: string;
  readonly last: string;
  readonly below: string;
  readonly belowLast: string;
}

const UNICODE: Branches = { item: '├─ ', last: '└─ ', below: '│  ', belowLast: '   ' };
const ASCII: Branches = { item: '|- ', last: '`- ', below: '|  ', belowLast: '   ' };

export function branches({ unicode }: { readonly unicode: boolean }): Branches {
  return unicode ? UNICODE : ASCII;
}

/** A node of a tree with the branches that lead to it. */
export interface DrawnNode<T> {
  readonly node: T;
  readonly branch: string;
}

/** Nodes with all that is below each of them, in the order of the lines that show them. */
export function* drawTree<T>(
  nodes: readonly T[],
  below: (node: T) => readonly T[],
  { item, last, below: line, belowLast }: Branches,
  indent = '',
): Generator<DrawnNode<T>, void, undefined> {
  for (const [at, node] of nodes.entries()) {
    const isLast = at === nodes.length - 1;
    yield { node, branch: `${indent}${isLast ? last : item}` };
    yield* drawTree(
      below(node),
      below,
      { item, last, below: line, belowLast },
      `${indent}${isLast ? belowLast : line}`,
    );
  }
}
