import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  parseManifest,
} from '../../../spec/index.js';
import { bareOmissions, type Declaration, type DeclaredSet } from '../declaration.js';
import type { OpenContent } from '../destination.js';
import { namedEntry, namelessEntry } from '../layout-index.js';

/** What goes into an archive under one digest: the bytes of a manifest, or where a blob is opened. */
export interface ArchivedBlob {
  readonly descriptor: Descriptor;
  readonly bytes?: Buffer;
  readonly manifest?: ImageManifest | ImageIndex;
  readonly open: OpenContent;
  readonly onProgress: ((bytes: number) => void) | undefined;
}

/** All that was put into an archive before it is written. It does not matter in which order. */
export class ArchiveContents {
  readonly #blobs = new Map<Digest, ArchivedBlob>();
  readonly #named = new Map<string, Descriptor>();
  readonly #roots = new Map<Digest, Descriptor>();
  readonly #omitted = new Map<Digest, Descriptor>();
  /** The set that its images are of, where that was declared. */
  set: DeclaredSet = {};

  get(digest: Digest): ArchivedBlob | undefined {
    return this.#blobs.get(digest);
  }

  /** False where it is there. */
  add(blob: ArchivedBlob): boolean {
    const { digest } = blob.descriptor;
    if (this.#blobs.has(digest)) return false;
    this.#blobs.set(digest, blob);
    return true;
  }

  addManifest(descriptor: Descriptor, bytes: Buffer, open: OpenContent): boolean {
    const manifest = parseManifest(bytes, descriptor.mediaType);
    return this.add({ descriptor, bytes, manifest, open, onProgress: undefined });
  }

  name(name: string, descriptor: Descriptor): void {
    this.#named.set(name, descriptor);
  }

  /** It is wanted, by its digest alone. */
  addRoot(descriptor: Descriptor): void {
    this.#roots.set(descriptor.digest, descriptor);
  }

  omit(descriptors: readonly Descriptor[]): void {
    for (const descriptor of descriptors) this.#omitted.set(descriptor.digest, descriptor);
  }

  named(name: string): Descriptor | undefined {
    return this.#named.get(name);
  }

  names(): string[] {
    return [...this.#named.keys()].sort();
  }

  /** False where there is no such name. */
  forget(name: string): boolean {
    return this.#named.delete(name);
  }

  /** What is wanted by itself, by name and then by digest; undefined is what has no name. */
  roots(): { readonly name: string | undefined; readonly target: Descriptor }[] {
    const named = this.names().flatMap((name) => {
      const target = this.#named.get(name);
      return target === undefined ? [] : [{ name, target }];
    });
    const known = new Set(named.map(({ target }) => target.digest));
    const nameless = [...this.#roots.values()]
      .filter(({ digest }) => !known.has(digest))
      .sort((a, b) => (a.digest < b.digest ? -1 : 1));
    return [...named, ...nameless.map((target) => ({ name: undefined, target }))];
  }

  /** The entries of `index.json`. */
  entries(): Descriptor[] {
    return this.roots().map(({ name, target }) =>
      name === undefined ? namelessEntry(target) : namedEntry(target, name),
    );
  }

  /** What is declared as left out: what one image omits and another one brings is not. */
  declaration(): Declaration {
    const missing = [...this.#omitted.values()].filter(({ digest }) => !this.#blobs.has(digest));
    return { ...this.set, omitted: bareOmissions(missing) };
  }

  /** In the order of their digests. */
  blobs(): ArchivedBlob[] {
    return [...this.#blobs.values()].sort((a, b) => (a.descriptor.digest < b.descriptor.digest ? -1 : 1));
  }
}
