import { isLandfallError } from '../errors.js';
import { algorithmOf, type Descriptor, type Digest, encodedOf, isIndexType, LIMITS } from '../spec/index.js';
import { boundedReferrers, REFERRER_DEPTH } from './bounded-referrers.js';
import type { Admitted } from './copy-gate.js';
import type { CopyReport } from './copy-report.js';
import type { ReferrerChoice } from './copy-request.js';
import type { ImageCopy } from './image-copy.js';
import { nameAt } from './name-at.js';
import { wholeOf } from './select-platforms.js';

const COSIGN_SUFFIXES = ['sig', 'att', 'sbom'] as const;

/** What refers to something: by its `subject`, or by cosign's scheme of tags. */
interface Found {
  readonly descriptor: Descriptor;
  readonly tag?: string;
  /** Whether the destination lists it already; for what is found by a tag it has no list. */
  readonly listed?: boolean;
}

interface ReferrerCopyOptions {
  /** Digests and tags that have been found before, and are not looked at again. */
  readonly seen: Set<string>;
  readonly depth: number;
}

/** Carries along what refers to an image, to its platforms, and to that in turn; each once. */
export class ReferrerCopy {
  readonly #image: ImageCopy;
  readonly #seen: Set<string>;
  readonly #depth: number;

  constructor(image: ImageCopy, { seen, depth }: ReferrerCopyOptions = { seen: new Set(), depth: 0 }) {
    this.#image = image;
    this.#seen = seen;
    this.#depth = depth;
  }

  /**
   * @param o `isThere`: whether the destination has what they refer to, so that its documents need not be read at the source
   */
  async of(
    target: Descriptor,
    choice: ReferrerChoice,
    { isThere }: { readonly isThere: boolean },
  ): Promise<readonly CopyReport[]> {
    const { session } = this.#image;
    if (this.#depth === REFERRER_DEPTH) {
      const message = `what refers to referrers more than ${REFERRER_DEPTH} deep is not copied`;
      session.tell({ type: 'warning', message });
      return [];
    }
    this.#seen.add(target.digest);
    const subjects = new Set<Digest>();
    await this.#addSubjects(target, { subjects, isThere, depth: 0 });
    const found = (
      await this.#image.all([...subjects].map((subject) => () => this.#find(subject, choice)))
    ).flat();
    const fresh = found.filter(({ descriptor: { digest }, tag }) => {
      // A tag is wanted too where what it names came by itself; it may name what it is for, or that in turn.
      const isNew = !this.#seen.has(tag ?? digest);
      this.#seen.add(tag ?? digest).add(digest);
      return isNew;
    });
    return (await this.#image.all(fresh.map((referrer) => () => this.#copy(referrer, choice)))).flat();
  }

  /** Nothing where a policy would have to know more of it. */
  async #copy(found: Found, choice: ReferrerChoice): Promise<readonly CopyReport[]> {
    const { descriptor, tag } = found;
    const admitted = await this.#admitted(found);
    if (admitted === 'refused') return [];
    const report = await this.#image.root({
      target: descriptor,
      resolved: descriptor,
      from: tag ?? descriptor.digest,
      tag,
      referrers: undefined,
      isReferrer: true,
      admitted,
      ...(found.listed === undefined ? {} : { listed: found.listed }),
    });
    const below = new ReferrerCopy(this.#image, { seen: this.#seen, depth: this.#depth + 1 });
    const { cosignTags = true } = choice;
    const referrers = await below.of(descriptor, { cosignTags }, { isThere: report.outcome === 'exists' });
    return [{ ...report, referrers }];
  }

  /**
   * An image may refer to another one, and would come past a policy by that. It is left out: whoever may write to the source's repository
   * should not be able to hold up the images that are in order either. What the destination has already is not looked at.
   */
  async #admitted({ descriptor, tag, listed }: Found): Promise<Admitted | 'refused' | undefined> {
    const { gate, session, source, destination, signal } = this.#image;
    if (gate === undefined || listed === true) return undefined;
    const stored = tag === undefined ? undefined : { descriptor: await destination.stored(tag, { signal }) };
    const isThere = stored?.descriptor?.digest === descriptor.digest;
    if (isThere || (await gate.letsAlong(descriptor, tag))) return { digests: undefined, stored };
    const name = nameAt(source, tag ?? descriptor.digest);
    const message = `${name} is an image of its own, and no signature of it was verified: it is not copied along`;
    session.tell({ type: 'warning', message });
    return 'refused';
  }

  /** Adds something, and of an index what it lists that comes along, and what that lists. */
  async #addSubjects(
    target: Descriptor,
    o: { readonly subjects: Set<Digest>; readonly isThere: boolean; readonly depth: number },
  ): Promise<void> {
    const { subjects, isThere, depth } = o;
    if (subjects.has(target.digest)) return;
    subjects.add(target.digest);
    if (!isIndexType(target.mediaType) || depth > LIMITS.indexDepth) return;
    const { session, source, destination, signal } = this.#image;
    // Registries count what is read of the source, and the destination has the same.
    const from = isThere ? (destination.readBack ?? source) : source;
    const document = await session.documents.document(from, target, { signal });
    if (document.kind !== 'index') return;
    const choice = this.#depth === 0 ? this.#image.choice : wholeOf(this.#image.choice);
    const { kept } = await this.#image.select(target, document, { choice, depth });
    for (const child of kept) await this.#addSubjects(child, { ...o, depth: depth + 1 });
  }

  async #find(subject: Digest, choice: ReferrerChoice): Promise<readonly Found[]> {
    const byList = await this.#listed(subject, choice.artifactTypes);
    const byTag = choice.cosignTags === false ? [] : await this.#tagged(subject);
    return [...byList, ...byTag];
  }

  async #listed(subject: Digest, types: readonly string[] | undefined): Promise<readonly Found[]> {
    const { source, session, signal } = this.#image;
    const found: Descriptor[] = [];
    const tags = await session.tagsOf(source);
    for await (const referrer of boundedReferrers(source, subject, { signal, tags })) {
      const { mediaType, digest, size, artifactType } = referrer;
      if (types === undefined || types.includes(artifactType ?? '')) found.push({ mediaType, digest, size });
    }
    if (found.length === 0) return [];
    const there = await this.#listedThere(subject);
    return found.map((descriptor) => ({ descriptor, listed: there.has(descriptor.digest) }));
  }

  async #listedThere(subject: Digest): Promise<ReadonlySet<Digest>> {
    const { destination, signal } = this.#image;
    const there = new Set<Digest>();
    if (destination.readBack === undefined) return there;
    try {
      for await (const { digest } of destination.readBack.referrers(subject, { signal })) there.add(digest);
    } catch (error) {
      // A run that only looks has made no repository.
      if (!isLandfallError(error) || error.code !== 'NOT_FOUND') throw error;
    }
    return there;
  }

  async #tagged(subject: Digest): Promise<readonly Found[]> {
    const { session, source, signal } = this.#image;
    // A store keeps signatures that no name of it leads to, and a layout may have them under another repository's name.
    const tags = source.registry === undefined ? undefined : await session.tagsOf(source);
    const found: Found[] = [];
    for (const suffix of COSIGN_SUFFIXES) {
      const tag = `${algorithmOf(subject)}-${encodedOf(subject)}.${suffix}`;
      if (tags?.has(tag) === false) continue;
      const descriptor = await source.resolve(tag, { signal });
      if (descriptor !== undefined) found.push({ descriptor, tag });
    }
    return found;
  }
}
