import { buffer } from 'node:stream/consumers';
import { ResultCache } from '../../concurrency/index.js';
import { isSilent, refuseLarger } from '../../engine/read-document.js';
import { type Abortable, ContentError } from '../../errors.js';
import {
  createDigester,
  type Descriptor,
  type Digest,
  type ImageManifest,
  isConfigType,
  isRunnablePlatform,
  LIMITS,
  parseImageConfig,
} from '../../spec/index.js';
import type { DocumentReader } from '../document-reader.js';
import type { SourceRepository } from '../source.js';

const CREATED = 'org.opencontainers.image.created';
/** Indexes within indexes that are followed. */
const MAX_DEPTH = 3;
/** Entries of an index without a platform that are looked into. */
const MAX_TRIED = 4;

type Readable = Pick<SourceRepository, 'fetch'>;

/**
 * When images were made: as the config says, else an annotation of the manifest. Of an index it is the first image's, since
 * all are built together. It costs one manifest, for an index two, and a config, and is read once for each digest.
 */
export class CreatedDates {
  readonly #documents: DocumentReader;
  readonly #dates = new ResultCache<Digest, number | undefined>();

  constructor(documents: DocumentReader) {
    this.#documents = documents;
  }

  /** In milliseconds since 1970; undefined where nothing says so. Errors: those of the place; INVALID_MANIFEST and the like. */
  async of(repository: Readable, image: Descriptor, options: Abortable): Promise<number | undefined> {
    return await this.#dates.get(
      image.digest,
      (signal) => this.#read(repository, image, { signal }, 0),
      options,
    );
  }

  async #read(
    repository: Readable,
    image: Descriptor,
    options: Abortable,
    depth: number,
  ): Promise<number | undefined> {
    const document = await this.#documents.document(repository, image, options);
    if (document.kind === 'manifest') return await dateOfManifest(repository, document, options);
    const stated = document.manifests.find(
      ({ platform }) => platform !== undefined && isRunnablePlatform(platform),
    );
    // Of those that say no platform the first may be no image, and has no date then.
    const tried = stated === undefined ? document.manifests.filter(isSilent).slice(0, MAX_TRIED) : [stated];
    for (const entry of depth === MAX_DEPTH ? [] : tried) {
      const inner = await this.#read(repository, entry, options, depth + 1);
      if (inner !== undefined) return inner;
    }
    return momentOf(document.annotations?.[CREATED]);
  }
}

async function dateOfManifest(
  repository: Readable,
  { config, annotations }: ImageManifest,
  options: Abortable,
): Promise<number | undefined> {
  const created = isConfigType(config.mediaType)
    ? parseImageConfig(await readVerified(repository, config, options)).created
    : undefined;
  return momentOf(created) ?? momentOf(annotations?.[CREATED]);
}

async function readVerified(repository: Readable, config: Descriptor, options: Abortable): Promise<Buffer> {
  const { digest } = config;
  refuseLarger(config, LIMITS.configBytes);
  const bytes = await buffer(await repository.fetch(config, options));
  const actual = createDigester(digest).update(bytes).digest();
  if (actual === digest) return bytes;
  throw new ContentError('DIGEST_MISMATCH', `what came for ${digest} is ${actual}`, {
    details: { digest, expected: digest, actual },
  });
}

function momentOf(text: string | undefined): number | undefined {
  const moment = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(moment) ? undefined : moment;
}
