import type { BlobProvider } from '../content/index.js';
import { readManifest } from '../engine/read-document.js';
import { isLandfallError } from '../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../spec/index.js';

/** Finds how documents describe what they list. What was read once is remembered: a digest never stands for something else. */
export class DescriptorFinder {
  readonly #content: Pick<BlobProvider, 'open'>;
  readonly #children = new Map<Digest, ReadonlyMap<Digest, Descriptor>>();

  constructor(content: Pick<BlobProvider, 'open'>) {
    this.#content = content;
  }

  /**
   * How what lies at or below some targets describes a digest. What is absent, damaged or no document is passed over;
   * undefined where none of them leads to it.
   */
  async find(targets: readonly Descriptor[], digest: Digest): Promise<Descriptor | undefined> {
    const seen = new Set<Digest>();
    // Breadth first: what an index lists says more of it than what a list deeper down does.
    let level: readonly Descriptor[] = targets;
    for (let depth = 0; level.length > 0 && depth <= LIMITS.indexDepth + 1; depth += 1) {
      const found = level.find((descriptor) => descriptor.digest === digest);
      if (found !== undefined) return found;
      const next: Descriptor[] = [];
      for (const descriptor of level) {
        if (seen.has(descriptor.digest)) continue;
        seen.add(descriptor.digest);
        const children = await this.#childrenBelow(descriptor);
        const child = children.get(digest);
        if (child !== undefined) return child;
        next.push(...children.values());
      }
      level = next;
    }
    return undefined;
  }

  async #childrenBelow(descriptor: Descriptor): Promise<ReadonlyMap<Digest, Descriptor>> {
    const { digest, mediaType } = descriptor;
    const known = this.#children.get(digest);
    if (known !== undefined) return known;
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) return new Map();
    try {
      const children = childrenOf(await readManifest(this.#content, descriptor));
      const byDigest = new Map(children.map((child) => [child.digest, child]));
      this.#children.set(digest, byDigest);
      return byDigest;
    } catch (error) {
      if (isLandfallError(error)) return new Map();
      throw error;
    }
  }
}
