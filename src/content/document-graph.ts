import type { Digest } from '../spec/index.js';
import type { DocumentFacts } from './documents.js';

/** What some blobs hold: blobs, and the chains that their layers are unpacked to. */
export interface Reachable {
  readonly blobs: Set<Digest>;
  readonly chains: Set<Digest>;
}

/** All documents of a store at one moment, and who leads to whom. */
export class DocumentGraph {
  readonly #documents: ReadonlyMap<Digest, DocumentFacts>;
  readonly #referrers = new Map<Digest, Digest[]>();

  constructor(documents: ReadonlyMap<Digest, DocumentFacts>) {
    this.#documents = documents;
    for (const { digest, subject } of documents.values()) {
      if (subject === undefined) continue;
      const known = this.#referrers.get(subject);
      if (known === undefined) this.#referrers.set(subject, [digest]);
      else known.push(digest);
    }
  }

  /** The digests of all documents. */
  digests(): Iterable<Digest> {
    return this.#documents.keys();
  }

  /** All that is reached from some blobs, themselves included: what they list, and what refers to it by its `subject`. */
  reach(roots: Iterable<Digest>): Reachable {
    const blobs = new Set<Digest>();
    const chains = new Set<Digest>();
    const waiting = [...roots];
    for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
      if (blobs.has(digest)) continue;
      blobs.add(digest);
      for (const referrer of this.#referrers.get(digest) ?? []) waiting.push(referrer);
      const facts = this.#documents.get(digest);
      if (facts === undefined) continue;
      for (const child of facts.children) waiting.push(child.digest);
      for (const chainId of facts.chainIds) chains.add(chainId);
    }
    return { blobs, chains };
  }

  /** The image manifests below a target that are known, in the index's order. */
  manifests(target: Digest): readonly DocumentFacts[] {
    const found: DocumentFacts[] = [];
    const seen = new Set<Digest>();
    const visit = (digest: Digest): void => {
      const facts = this.#documents.get(digest);
      if (facts === undefined || seen.has(digest)) return;
      seen.add(digest);
      if (facts.platform !== undefined) found.push(facts);
      else for (const child of facts.children) visit(child.digest);
    };
    visit(target);
    return found;
  }
}
