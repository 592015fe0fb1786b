import * as fc from 'fast-check';
import { archive, directory, file, hardLink, symlink } from './tar-builder.js';

/*
 * image-spec layer.md in memory: what a sequence of layers comes to, said once more in the simplest way, to hold the real
 * implementations against.
 */

export type Operation =
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly time: number }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number; readonly time: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly time: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'whiteout'; readonly path: string }
  | { readonly kind: 'opaque'; readonly path: string };

export interface ModelNode {
  readonly type: 'file' | 'directory' | 'symlink';
  readonly mode: number;
  readonly content: string;
  /** Undefined where it is the time of unpacking. */
  readonly time: number | undefined;
}

export type ModelTree = ReadonlyMap<string, ModelNode>;

const NAMES = ['a', 'b', 'c'];
const PATHS = [
  ...NAMES,
  ...NAMES.flatMap((x) => NAMES.map((y) => `${x}/${y}`)),
  ...NAMES.flatMap((x) => NAMES.flatMap((y) => NAMES.map((z) => `${x}/${y}/${z}`))),
];
const path = fc.constantFrom(...PATHS);
const time = fc.integer({ min: 1, max: 1_000_000 });

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('file'),
      path,
      mode: fc.constantFrom(0o644, 0o600, 0o4755),
      time,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('directory'),
      path,
      mode: fc.constantFrom(0o755, 0o700, 0o1777),
      time,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('symlink'), path, time }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('link'), path, target: path }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('whiteout'), path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('opaque'), path: fc.constantFrom('', ...PATHS) }) },
);

/** Layers, bottom first; what would be a malformed archive is left out of them when the model is run. */
export const layerSequence: fc.Arbitrary<readonly (readonly Operation[])[]> = fc.array(
  fc.array(operation, { minLength: 1, maxLength: 8 }),
  { minLength: 1, maxLength: 5 },
);

export interface ModelRun {
  /** The operations of each layer that make a well-formed archive. */
  readonly layers: readonly (readonly Operation[])[];
  readonly tree: ModelTree;
}

export function runModel(sequence: readonly (readonly Operation[])[]): ModelRun {
  let tree = new Map<string, ModelNode>([['', implied()]]);
  const layers: Operation[][] = [];
  for (const [index, operations] of sequence.entries()) {
    const layer = new ModelLayer(tree, index);
    layers.push(operations.filter((one) => layer.accept(one)));
    tree = layer.merged();
  }
  return { layers, tree };
}

export function archiveOf(operations: readonly Operation[], index: number): Buffer {
  return archive(
    ...operations.map((o) => {
      switch (o.kind) {
        case 'file':
          return file(o.path, contentOf(o.path, index, o.time), { mode: o.mode, mtime: o.time });
        case 'directory':
          return directory(`${o.path}/`, { mode: o.mode, mtime: o.time });
        case 'symlink':
          return symlink(o.path, targetOf(o.path), { mtime: o.time });
        case 'link':
          return hardLink(o.path, o.target);
        case 'whiteout':
          return file([...o.path.split('/').slice(0, -1), `.wh.${o.path.split('/').at(-1) ?? ''}`].join('/'));
        case 'opaque':
          return file(o.path === '' ? '.wh..wh..opq' : `${o.path}/.wh..wh..opq`);
      }
    }),
  );
}

class ModelLayer {
  readonly #lower: ModelTree;
  readonly #index: number;
  readonly #own = new Map<string, ModelNode>();
  readonly #listed = new Set<string>();
  readonly #whiteouts = new Set<string>();
  readonly #opaques = new Set<string>();
  /** Paths below which lower files were linked to: they must stay visible. */
  readonly #needed = new Set<string>();

  constructor(lower: ModelTree, index: number) {
    this.#lower = lower;
    this.#index = index;
  }

  /** Does what the entry says; false where a well-formed archive would not have it. */
  accept(o: Operation): boolean {
    if (!this.#hasWay(o.path)) return false;
    switch (o.kind) {
      case 'file':
        return this.#put(o.path, {
          type: 'file',
          mode: o.mode,
          content: contentOf(o.path, this.#index, o.time),
          time: o.time,
        });
      case 'symlink':
        return this.#put(o.path, { type: 'symlink', mode: 0o777, content: targetOf(o.path), time: o.time });
      case 'directory':
        return this.#put(o.path, { type: 'directory', mode: o.mode, content: '', time: o.time });
      case 'link':
        return this.#link(o.path, o.target);
      case 'whiteout':
        if (this.#isNeeded(o.path)) return false;
        this.#makeWay(o.path);
        this.#whiteouts.add(o.path);
        return true;
      case 'opaque':
        if (this.#isNeeded(o.path)) return false;
        if ((this.#own.get(o.path) ?? implied()).type !== 'directory') return false;
        this.#makeWay(o.path);
        if (o.path !== '' && !this.#own.has(o.path)) this.#own.set(o.path, implied());
        this.#opaques.add(o.path);
        return true;
    }
  }

  merged(): Map<string, ModelNode> {
    const result = new Map<string, ModelNode>();
    for (const [path, node] of this.#lower) if (!this.#hides(path)) result.set(path, node);
    for (const [path, node] of this.#own) {
      const below = result.get(path);
      if (below?.type === 'directory' && node.type === 'directory') {
        if (this.#listed.has(path)) result.set(path, node);
        continue;
      }
      if (below?.type === 'directory')
        for (const other of [...result.keys()]) if (isBelow(other, path)) result.delete(other);
      result.set(path, node);
    }
    return result;
  }

  /** Whether all components above a path are directories of this layer or not in it. */
  #hasWay(path: string): boolean {
    return parents(path).every((parent) => (this.#own.get(parent) ?? implied()).type === 'directory');
  }

  #makeWay(path: string): void {
    for (const parent of parents(path)) if (!this.#own.has(parent)) this.#own.set(parent, implied());
  }

  #put(path: string, node: ModelNode): boolean {
    const before = this.#own.get(path)?.type ?? 'directory';
    if (before !== 'directory' && node.type === 'directory') {
      // The file was put over whatever is below, so the directory starts empty.
      if (this.#isNeeded(path)) return false;
      this.#opaques.add(path);
    }
    this.#makeWay(path);
    if (before !== 'directory' || node.type !== 'directory') {
      for (const other of [...this.#own.keys()]) {
        if (isBelow(other, path)) {
          this.#own.delete(other);
          this.#listed.delete(other);
        }
      }
    }
    this.#own.set(path, node);
    this.#listed.add(path);
    return true;
  }

  #link(path: string, target: string): boolean {
    if (path === target || isBelow(path, target) || isBelow(target, path) || !this.#hasWay(target))
      return false;
    const own = this.#own.get(target);
    if (own !== undefined) return own.type !== 'directory' && this.#put(path, own);
    const node = this.#lower.get(target);
    if (node === undefined || node.type === 'directory' || this.#hides(target)) return false;
    this.#needed.add(target);
    return this.#put(path, node);
  }

  /** Whether something that was linked to is here or below. */
  #isNeeded(path: string): boolean {
    return [...this.#needed].some((needed) => needed === path || isBelow(needed, path));
  }

  #hides(path: string): boolean {
    if (this.#whiteouts.has(path)) return this.#own.get(path)?.type !== 'directory';
    return parents(path).some((parent) => this.#whiteouts.has(parent) || this.#opaques.has(parent));
  }
}

function implied(): ModelNode {
  return { type: 'directory', mode: 0o755, content: '', time: undefined };
}

function contentOf(path: string, index: number, time: number): string {
  return `${path} of layer ${index} at ${time}`;
}

/** Leads nowhere, so that no entry can pass through it. */
function targetOf(path: string): string {
  return `/nowhere/${path}`;
}

function isBelow(path: string, directory: string): boolean {
  return directory === '' ? path !== '' : path.startsWith(`${directory}/`);
}

/** The directories above a path, the root first. */
function parents(path: string): string[] {
  if (path === '') return [];
  const parts = path.split('/').slice(0, -1);
  return ['', ...parts.map((_, i) => parts.slice(0, i + 1).join('/'))];
}
