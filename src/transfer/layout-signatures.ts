import type { Readable } from 'node:stream';

import type { Abortable } from '../errors.js';
import { type Descriptor, type Digest, repositoryName } from '../spec/index.js';
import type { SignatureSource } from '../trust/index.js';
import type { LayoutPlace } from './layout-place.js';

/**
 * The signatures in a layout or an archive. A signature is for a digest, so that one which was kept in another repository counts too
 * where the image's own has none.
 */
export class LayoutSignatures implements SignatureSource {
  readonly location: string;
  readonly #place: LayoutPlace;
  readonly #repository: string | undefined;

  /** @param repository the image's own, by its canonical name; undefined where it has no such name */
  constructor(place: LayoutPlace, repository: string | undefined) {
    this.location = place.name;
    this.#place = place;
    this.#repository = repository;
  }

  async resolve(tag: string, o: Abortable = {}): Promise<Descriptor | undefined> {
    const entries = await this.#place.tagged(tag, o);
    const own = entries.find(
      ({ reference }) => reference !== undefined && repositoryName(reference) === this.#repository,
    );
    return (own ?? entries[0])?.target;
  }

  referrers(subject: Digest, o: Abortable = {}): AsyncIterable<Descriptor> {
    return this.#place.repository('').referrers(subject, o);
  }

  async fetch(descriptor: Descriptor, o: Abortable = {}): Promise<Readable> {
    return await this.#place.repository('').fetch(descriptor, o);
  }
}
