import { type Abortable, isLandfallError, throwIfAborted } from '../../errors.js';
import { type Descriptor, type Digest, isIndexType } from '../../spec/index.js';
import type { DestinationRepository } from '../destination.js';
import type { DocumentReader } from '../document-reader.js';
import type { PrunedTag } from './sync-result.js';
import { subjectOfTag } from './tag-rules.js';

/** What is to go of one repository. */
export interface RepositoryPrune {
  readonly repository: DestinationRepository;
  /** First what refers to images, so that what is left of a run that was killed is still found. */
  readonly tags: readonly { readonly tag: string; readonly descriptor: Descriptor }[];
  /** What must not go with them. */
  readonly kept: ReadonlySet<Digest>;
}

export interface PlanPruneOptions extends Abortable {
  readonly repository: DestinationRepository;
  /** Tags that the file asks for. */
  readonly wanted: ReadonlySet<string>;
  /** Images that it asks for by their digests alone. */
  readonly digests: readonly Digest[];
  readonly documents: DocumentReader;
}

/**
 * Finds the tags of a repository that the file asks for no more. Tags that stand for what refers to an image go with it and stay
 * with it: what refers to something that is neither kept nor deleted is left alone.
 *
 * Errors: those of the place, of reading manifests there; ABORTED
 */
export async function planPrune(options: PlanPruneOptions): Promise<RepositoryPrune> {
  const { repository, wanted, signal } = options;
  const all: string[] = [];
  for await (const tag of repository.tags({ signal })) all.push(tag);
  const images = all.filter((tag) => subjectOfTag(tag) === undefined);
  const going = images.filter((tag) => !wanted.has(tag));
  if (going.length === 0) return { repository, tags: [], kept: new Set() };
  const look = new Look(options);
  const referring = all.filter((tag) => subjectOfTag(tag) !== undefined && !wanted.has(tag));
  const kept = new Set(options.digests);
  for (const tag of all.filter((one) => wanted.has(one))) await look.add(tag, kept);
  for (const digest of options.digests) await look.add(digest, kept);
  await look.addReferring(referring, kept, () => true);
  const gone = new Set<Digest>();
  for (const tag of going) await look.add(tag, gone);
  const goneReferring = await look.addReferring(referring, gone, (subject) => !kept.has(subject));
  const tags = [...goneReferring, ...going].flatMap((tag) => {
    const descriptor = look.known(tag);
    return descriptor === undefined ? [] : [{ tag, descriptor }];
  });
  return { repository, tags, kept };
}

/** Deletes what was planned, one tag after the other. What cannot be deleted without something that stays is kept. */
export async function prune(
  { repository, tags, kept }: RepositoryPrune,
  { signal, onPruned }: Abortable & { readonly onPruned?: ((pruned: PrunedTag) => void) | undefined } = {},
): Promise<PrunedTag[]> {
  const done: PrunedTag[] = [];
  for (const { tag, descriptor } of tags) {
    const named = { destination: `${repository.location}:${tag}`, digest: descriptor.digest };
    const pruned = { ...named, ...(await deleteTag(repository, tag, { kept, signal })) };
    done.push(pruned);
    onPruned?.(pruned);
    if (signal?.aborted === true) break;
  }
  return done;
}

async function deleteTag(
  repository: DestinationRepository,
  tag: string,
  options: Abortable & { readonly kept: ReadonlySet<Digest> },
): Promise<Pick<PrunedTag, 'outcome' | 'error'>> {
  try {
    await repository.deleteTag(tag, options);
    return { outcome: 'deleted' };
  } catch (error) {
    if (isLandfallError(error) && error.code === 'IN_USE') return { outcome: 'kept', error };
    // It may have gone with another tag of its digest.
    if (options.signal?.aborted !== true && (await isGone(repository, tag, options)))
      return { outcome: 'deleted' };
    return { outcome: 'failed', error };
  }
}

async function isGone(repository: DestinationRepository, tag: string, options: Abortable): Promise<boolean> {
  try {
    return (await repository.stored(tag, options)) === undefined;
  } catch {
    return false;
  }
}

/** What tags of one repository stand for, and what that consists of. */
class Look {
  readonly #repository: DestinationRepository;
  readonly #documents: DocumentReader;
  readonly #signal: AbortSignal | undefined;
  readonly #stored = new Map<string, Descriptor | undefined>();

  constructor({ repository, documents, signal }: PlanPruneOptions) {
    this.#repository = repository;
    this.#documents = documents;
    this.#signal = signal;
  }

  known(tag: string): Descriptor | undefined {
    return this.#stored.get(tag);
  }

  /** Adds the manifests that a tag or a digest stands for, those within an index too. */
  async add(tagOrDigest: string, digests: Set<Digest>): Promise<void> {
    throwIfAborted(this.#signal);
    const signal = this.#signal;
    const stored = this.#stored.has(tagOrDigest)
      ? this.#stored.get(tagOrDigest)
      : await this.#repository.stored(tagOrDigest, { signal });
    this.#stored.set(tagOrDigest, stored);
    if (stored !== undefined) await this.#addAll(stored, digests);
  }

  /**
   * Adds what refers to what is there already, and what refers to that, until nothing more is found.
   *
   * @returns the tags by which it was found
   */
  async addReferring(
    tags: readonly string[],
    digests: Set<Digest>,
    counts: (subject: Digest) => boolean,
  ): Promise<string[]> {
    const bySubject = new Map<string, string[]>();
    for (const tag of tags) {
      const key = keyOf(subjectOfTag(tag) ?? '');
      bySubject.set(key, [...(bySubject.get(key) ?? []), tag]);
    }
    const found = new Set<string>();
    // What is added meanwhile is looked at too.
    for (const digest of digests) {
      for (const tag of counts(digest) ? (bySubject.get(keyOf(digest)) ?? []) : []) {
        found.add(tag);
        await this.add(tag, digests);
      }
    }
    return [...found];
  }

  async #addAll(descriptor: Descriptor, digests: Set<Digest>, depth = 0): Promise<void> {
    const isNew = !digests.has(descriptor.digest);
    digests.add(descriptor.digest);
    const { readBack } = this.#repository;
    if (!isNew && depth > 0) return;
    if (!isIndexType(descriptor.mediaType) || readBack === undefined || depth > MAX_DEPTH) return;
    const document = await this.#documents.document(readBack, descriptor, { signal: this.#signal });
    if (document.kind !== 'index') return;
    for (const child of document.manifests) await this.#addAll(child, digests, depth + 1);
  }
}

const MAX_DEPTH = 8;

/** In the tag of a list of referrers a long digest is cut after 64 digits. */
function keyOf(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 1 + 64);
}
