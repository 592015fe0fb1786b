import type { Readable } from 'node:stream';

import type { DocumentFacts } from '../../content/index.js';
import { isLandfallError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  parseReference,
  referrerDescriptor,
} from '../../spec/index.js';
import type { SignatureSource } from '../../trust/index.js';
import { readManifest } from '../images/read-document.js';
import type { Store } from '../store.js';
import { subjectOfCosignTag } from './accompaniment.js';

/** What a tag by cosign's scheme has the signatures of; undefined for every other tag. */
export function signedByTag(tag: string): Digest | undefined {
  return tag.endsWith('.sig') ? subjectOfCosignTag(tag) : undefined;
}

/** What of a store is asked for the signatures in it. */
export interface SignatureKeeper {
  readonly root: string;
  readonly content: Pick<Store['content'], 'info' | 'open'>;
  readonly documents: Pick<Store['documents'], 'referrers'>;
  readonly catalog: Pick<Store['catalog'], 'list'>;
}

/**
 * The signatures that a store keeps beside its images, whoever brought them: those that were found when an image was verified, and
 * those that were copied along with it. A signature is for a digest, so it does not matter in which repository it was.
 */
export class KeptSignatures implements SignatureSource {
  readonly location: string;
  readonly #store: SignatureKeeper;

  constructor(store: SignatureKeeper) {
    this.#store = store;
    this.location = store.root;
  }

  async resolve(tag: string): Promise<Descriptor | undefined> {
    const subject = signedByTag(tag);
    if (subject === undefined) return undefined;
    return (await this.tagged(subject)) ?? (await this.#named(tag));
  }

  /** What was found under the tag of a digest's signatures, the newest where it was several. */
  async tagged(subject: Digest): Promise<Descriptor | undefined> {
    const kept = (await this.#referring(subject)).filter(({ document }) => document.subject === undefined);
    return await this.#newest(kept.map(({ descriptor }) => descriptor));
  }

  async *referrers(subject: Digest): AsyncGenerator<Descriptor> {
    for (const { descriptor, document } of await this.#referring(subject)) {
      // What has only the tag of a signature refers to nothing by itself (image-spec: manifest.md, subject).
      if (document.subject?.digest === subject) yield referrerDescriptor(descriptor, document);
    }
  }

  async fetch(descriptor: Descriptor): Promise<Readable> {
    return await this.#store.content.open(descriptor);
  }

  async #referring(
    subject: Digest,
  ): Promise<{ descriptor: Descriptor; document: ImageManifest | ImageIndex }[]> {
    const found = await this.#store.documents.referrers(subject);
    const read = await Promise.all(found.map((facts) => this.#read(facts)));
    return read.filter((one) => one !== undefined);
  }

  /** Undefined for what is not here any more, or is damaged: it must not hide the others. */
  async #read({
    digest,
    mediaType,
  }: DocumentFacts): Promise<{ descriptor: Descriptor; document: ImageManifest | ImageIndex } | undefined> {
    const { content } = this.#store;
    const info = await content.info(digest);
    if (info === undefined) return undefined;
    const descriptor = { mediaType, digest, size: info.size };
    try {
      return { descriptor, document: await readManifest(content, descriptor) };
    } catch (error) {
      if (isLandfallError(error)) return undefined;
      throw error;
    }
  }

  async #newest(descriptors: readonly Descriptor[]): Promise<Descriptor | undefined> {
    const dated = await Promise.all(
      descriptors.map(async (descriptor) => {
        const info = await this.#store.content.info(descriptor.digest);
        return { descriptor, ms: info?.createdAt.getTime() ?? 0 };
      }),
    );
    return dated.sort((a, b) => b.ms - a.ms)[0]?.descriptor;
  }

  /** An image of that tag, in whatever repository: what was copied with the tags that its source gave it. */
  async #named(tag: string): Promise<Descriptor | undefined> {
    const images = await this.#store.catalog.list();
    return images.find(({ name }) => parseReference(name).tag === tag)?.target;
  }
}
