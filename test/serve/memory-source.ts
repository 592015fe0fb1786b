import { Readable } from 'node:stream';

import type { BlobInfo, BlobProvider, ByteRange } from '../../src/content/index.js';
import { type Descriptor, type Digest, digestOf } from '../../src/spec/index.js';
import type { ServeSource } from '../../src/serve/index.js';

/** A source in memory that tells what was opened, and whose streams are watched. */
export class MemorySource implements ServeSource {
  readonly blobs: BlobProvider;
  /** Every stream that was opened for a blob. */
  readonly opened: Readable[] = [];
  /** Set to make opening a blob fail. */
  failure: Error | undefined;
  /** Set to open this instead of the content. */
  stream: (() => Readable) | undefined;
  readonly #content = new Map<Digest, Buffer>();
  readonly #images = new Map<string, Map<string, Descriptor>>();
  readonly #untagged = new Map<string, Descriptor[]>();

  constructor() {
    this.blobs = {
      info: (digest) => Promise.resolve(this.#info(digest)),
      open: (descriptor, range) =>
        this.failure === undefined
          ? Promise.resolve(this.#open(descriptor, range))
          : Promise.reject(this.failure),
      path: () => Promise.reject(new Error('a server has no need of paths')),
    };
  }

  add(content: string | Buffer, mediaType = 'application/octet-stream'): Descriptor {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    this.#content.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  tag(repository: string, tag: string, target: Descriptor): void {
    const tags = this.#images.get(repository) ?? new Map<string, Descriptor>();
    this.#images.set(repository, tags.set(tag, target));
  }

  /** Holds something by its digest alone. */
  hold(repository: string, target: Descriptor): void {
    this.#untagged.set(repository, [...(this.#untagged.get(repository) ?? []), target]);
  }

  /** Takes away, and gives back, content that is still named. */
  lose({ digest }: Descriptor): Buffer {
    const content = this.#content.get(digest) ?? Buffer.alloc(0);
    this.#content.delete(digest);
    return content;
  }

  targets(repository: string): Promise<readonly Descriptor[]> {
    const tagged = this.#images.get(repository)?.values() ?? [];
    return Promise.resolve([...tagged, ...(this.#untagged.get(repository) ?? [])]);
  }

  resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    return Promise.resolve(this.#images.get(repository)?.get(tag));
  }

  tags(repository: string): Promise<readonly string[] | undefined> {
    const tags = this.#images.get(repository);
    return Promise.resolve(tags === undefined ? undefined : [...tags.keys()]);
  }

  repositories(): Promise<readonly string[]> {
    return Promise.resolve([...this.#images.keys()]);
  }

  #info(digest: Digest): BlobInfo | undefined {
    const bytes = this.#content.get(digest);
    return bytes === undefined
      ? undefined
      : { digest, size: bytes.length, createdAt: new Date(0), labels: {} };
  }

  #open({ digest }: Descriptor, range: ByteRange = { offset: 0 }): Readable {
    const bytes = this.#content.get(digest) ?? Buffer.alloc(0);
    const end = range.length === undefined ? bytes.length : range.offset + range.length;
    const stream = this.stream?.() ?? Readable.from([bytes.subarray(range.offset, end)]);
    this.opened.push(stream);
    return stream;
  }
}
