import { Readable } from 'node:stream';

import { type Abortable, RegistryError, throwIfAborted } from '../../src/errors.js';
import type { Descriptor, Digest } from '../../src/spec/index.js';
import type { SignatureSource } from '../../src/trust/index.js';
import type { SignatureArtifact } from './simple-signing.js';

/**
 * Signatures in memory, which notes what is asked of it: `resolve sha256-….sig`, `referrers sha256:…`, `fetch
 * sha256:…`.
 */
export class MemorySignatureSource implements SignatureSource {
  readonly location: string;
  readonly calls: string[] = [];
  /** Called before each answer; what it throws is what they throw. */
  onCall: (call: string, options: Abortable) => Promise<void> | void = () => undefined;
  readonly tags: Map<string, Descriptor> = new Map<string, Descriptor>();
  readonly blobs: Map<Digest, Buffer> = new Map<Digest, Buffer>();
  readonly #referrers = new Map<Digest, Descriptor[]>();

  constructor(location = 'docker://quay.io/team/app') {
    this.location = location;
  }

  /** Puts signatures there under the tag that they have. */
  addTagged({ tag, manifest, blobs }: SignatureArtifact): this {
    if (tag === undefined) throw new Error('it has no tag');
    this.tags.set(tag, manifest);
    return this.#addBlobs(blobs);
  }

  /** Puts signatures there that refer to a digest. */
  addReferrer(subject: Digest, { manifest, blobs }: SignatureArtifact): this {
    this.#referrers.set(subject, [...(this.#referrers.get(subject) ?? []), manifest]);
    return this.#addBlobs(blobs);
  }

  #addBlobs(blobs: ReadonlyMap<Digest, Buffer>): this {
    for (const [digest, bytes] of blobs) this.blobs.set(digest, bytes);
    return this;
  }

  async resolve(tag: string, options: Abortable = {}): Promise<Descriptor | undefined> {
    await this.#asked(`resolve ${tag}`, options);
    return this.tags.get(tag);
  }

  async *referrers(subject: Digest, options: Abortable = {}): AsyncGenerator<Descriptor> {
    await this.#asked(`referrers ${subject}`, options);
    yield* this.#referrers.get(subject) ?? [];
  }

  async fetch({ digest }: Descriptor, options: Abortable = {}): Promise<Readable> {
    await this.#asked(`fetch ${digest}`, options);
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw new RegistryError('NOT_FOUND', `there is no ${digest}`);
    return Readable.from([bytes], { objectMode: false });
  }

  async #asked(call: string, options: Abortable): Promise<void> {
    this.calls.push(call);
    await this.onCall(call, options);
    throwIfAborted(options.signal);
  }
}
