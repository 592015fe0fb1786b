import type { Digest } from '../spec/index.js';

/** What of a document says where referrers are: never what they are. */
export interface Outline {
  /** As which it was read. */
  readonly mediaType: string;
  readonly subject: Digest | undefined;
  /** The entries of an index. */
  readonly children: readonly { readonly digest: Digest; readonly mediaType: string }[];
}

/** In documents and entries of indexes together, some 200 bytes each. */
const DEFAULT_CAPACITY = 50_000;

/** Outlines by digest, which never change. Beyond its capacity the oldest are forgotten. */
export class OutlineCache {
  readonly #capacity: number;
  readonly #outlines = new Map<Digest, Outline>();
  #weight = 0;

  constructor(capacity: number = DEFAULT_CAPACITY) {
    this.#capacity = capacity;
  }

  get(digest: Digest): Outline | undefined {
    return this.#outlines.get(digest);
  }

  add(digest: Digest, outline: Outline): void {
    this.#drop(digest);
    this.#outlines.set(digest, outline);
    this.#weight += weightOf(outline);
    for (const oldest of this.#outlines.keys()) {
      if (this.#weight <= this.#capacity) break;
      this.#drop(oldest);
    }
  }

  #drop(digest: Digest): void {
    const outline = this.#outlines.get(digest);
    if (outline === undefined) return;
    this.#outlines.delete(digest);
    this.#weight -= weightOf(outline);
  }
}

function weightOf({ children }: Outline): number {
  return 1 + children.length;
}
