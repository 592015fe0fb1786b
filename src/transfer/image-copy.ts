import { setMaxListeners } from 'node:events';
import { Readable } from 'node:stream';
import type { BudgetShare } from '../engine/pull-budget.js';
import { SpecError } from '../errors.js';
import {
  childrenOf,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../spec/index.js';
import { CopiedParts } from './copied-parts.js';
import type { ContentOutcome, ContentRole, CopiedContent, CopyReport } from './copy-report.js';
import type { PlatformChoice } from './copy-request.js';
import type { CopyRoot } from './copy-root.js';
import type { CopyGate } from './copy-gate.js';
import type { CopySession } from './copy-session.js';
import type { DestinationRepository, PutOptions } from './destination.js';
import { copyOutcome } from './copy-outcome.js';
import { isComplete } from './is-complete.js';
import { nameAt } from './name-at.js';
import { PutProgress } from './put-progress.js';
import { ReferrerCopy } from './referrer-copy.js';
import { type ChosenEntries, type SelectedEntries, selectEntries, wholeOf } from './select-platforms.js';
import { fetchedRight, type SourceRepository } from './source.js';

export interface ImageCopyOptions {
  readonly source: SourceRepository;
  readonly destination: DestinationRepository;
  readonly session: CopySession;
  readonly choice: PlatformChoice;
  /** What a policy has to say of what refers to the image; absent where it asks for nothing. */
  readonly gate?: CopyGate | undefined;
}

/** One image on its way, with all that belongs to it. The first failure stops the rest of it, and of nothing else. */
export class ImageCopy {
  readonly source: SourceRepository;
  readonly destination: DestinationRepository;
  readonly session: CopySession;
  readonly signal: AbortSignal;
  readonly choice: PlatformChoice;
  readonly gate: CopyGate | undefined;
  readonly #budget: BudgetShare;
  readonly #failed = new AbortController();

  constructor({ source, destination, session, choice, gate }: ImageCopyOptions) {
    this.source = source;
    this.destination = destination;
    this.session = session;
    this.choice = choice;
    this.gate = gate;
    this.#budget = session.share();
    this.signal =
      session.signal === undefined
        ? this.#failed.signal
        : AbortSignal.any([session.signal, this.#failed.signal]);
    // That all its parts wait for one signal is no leak.
    setMaxListeners(0, this.signal);
  }

  /** Lets go of what is still under way. */
  end(): void {
    this.#failed.abort();
  }

  /** Errors: as {@link copy}. */
  async root(root: CopyRoot): Promise<CopyReport> {
    const { target, resolved, from, tag, referrers, isReferrer = false, admitted } = root;
    const { destination, source, session } = this;
    const names = { source: nameAt(source, from), destination: nameAt(destination, tag ?? target.digest) };
    session.tell({ type: 'image', ...names, descriptor: target });
    const parts = new CopiedParts(isReferrer ? wholeOf(this.choice) : this.choice, admitted?.digests);
    const state = await this.#stateOf(root, parts);
    const there = state === 'there';
    if (there) this.#note(parts, target, roleOf(target), 'exists');
    else {
      const put = { tag, root: true, absent: state === 'absent' };
      await this.#document(target, { parts, depth: 0, put });
    }
    const { contents, omitted } = parts;
    const copied =
      referrers === undefined ? [] : await new ReferrerCopy(this).of(target, referrers, { isThere: there });
    return {
      ...names,
      target,
      resolved,
      outcome: copyOutcome(there || this.#isUnchanged(contents), contents, copied),
      contents,
      omitted,
      referrers: copied,
    };
  }

  /** Runs all of them; when one fails, breaks off the others and waits until they have stopped. */
  async all<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
    const results = await Promise.allSettled(
      tasks.map(async (task) => {
        try {
          return await task();
        } catch (error) {
          if (!this.#failed.signal.aborted) this.#failed.abort(error);
          throw error;
        }
      }),
    );
    return results.map((result) => {
      if (result.status === 'fulfilled') return result.value;
      throw this.session.signal?.aborted === true ? result.reason : this.#failed.signal.reason;
    });
  }

  /** The entries of an index, which lies so deep in others, that come along. */
  async select(
    target: Descriptor,
    index: ImageIndex,
    { choice, depth }: { readonly choice: PlatformChoice; readonly depth: number },
  ): Promise<ChosenEntries> {
    return await selectEntries(target, index, {
      choice,
      depth,
      has: async ({ digest }) => (await this.source.resolve(digest, this)) !== undefined,
      read: (descriptor) => this.session.documents.bytes(this.source, descriptor, this),
    });
  }

  /** Whether all of it is at the destination under the name that it is to have, or that name is known to lead elsewhere. */
  async #stateOf(
    { target, tag, listed, admitted }: CopyRoot,
    { choice }: CopiedParts,
  ): Promise<'there' | 'absent' | 'unknown'> {
    const { destination, session } = this;
    if (listed === false) return 'unknown';
    const believed = session.recheck ? 'unknown' : 'there';
    // A registry lists what it has.
    if (listed === true && destination.blobs === undefined) return believed;
    const known = admitted?.stored ?? { descriptor: await destination.stored(tag ?? target.digest, this) };
    if (known.descriptor?.digest !== target.digest) return 'absent';
    if (destination.blobs === undefined) return believed;
    const whole = await isComplete(destination.blobs, target, {
      select: (of, index, depth) => this.select(of, index, { choice, depth }),
    });
    return whole ? 'there' : 'unknown';
  }

  /** Whether a second look has found that nothing was missing. */
  #isUnchanged(contents: readonly CopiedContent[]): boolean {
    return this.session.recheck && contents.every(({ outcome }) => outcome === 'exists');
  }

  /** A manifest or an index: first all that it names, then itself. */
  async #document(descriptor: Descriptor, { parts, depth, put }: Part): Promise<void> {
    if (depth > LIMITS.indexDepth) {
      throw new SpecError('LIMIT_EXCEEDED', `indexes are nested more than ${LIMITS.indexDepth} deep`);
    }
    const { session, source, signal } = this;
    const bytes = await session.documents.bytes(source, descriptor, { signal });
    const document = await session.documents.document(source, descriptor, { signal });
    const { kept, omitted } = await this.#chosen(descriptor, document, { parts, depth });
    await this.all(
      kept.map((child) => async () => {
        await this.#child(child, document, { parts, depth: depth + 1, put: {} });
      }),
    );
    if (depth === 0 && document.kind === 'index') parts.requirePlatforms(descriptor, document);
    parts.omitted.push(...omitted);
    const outcome = session.dryRun
      ? 'planned'
      : await this.destination.put(
          descriptor,
          (offset) => Promise.resolve(Readable.from([bytes.subarray(offset)])),
          {
            ...put,
            ...(omitted.length === 0 ? {} : { omitted }),
            signal,
          },
        );
    this.#note(parts, descriptor, roleOf(descriptor), outcome);
  }

  async #chosen(
    descriptor: Descriptor,
    document: ImageManifest | ImageIndex,
    { parts, depth }: Omit<Part, 'put'>,
  ): Promise<SelectedEntries> {
    if (document.kind === 'index') {
      const chosen = await this.select(descriptor, document, { choice: parts.choice, depth });
      parts.match(chosen.unmatched);
      return chosen;
    }
    const { without } = this.session;
    const children = childrenOf(document);
    return {
      kept: children.filter(({ digest }) => !without.has(digest)),
      omitted: children.filter(({ digest }) => without.has(digest)),
    };
  }

  async #child(child: Descriptor, parent: ImageManifest | ImageIndex, part: Part): Promise<void> {
    if (parent.kind === 'index') part.parts.requireAdmitted(child);
    if (isManifestType(child.mediaType) || isIndexType(child.mediaType)) {
      await part.parts.once(child, () => this.#childDocument(child, part));
      return;
    }
    const role = parent.kind === 'index' ? 'other' : child === parent.config ? 'config' : 'layer';
    const { flights } = this.session;
    const put = (repositories: readonly string[]): Promise<ContentOutcome> =>
      this.#blob(child, role, repositories);
    const outcome = await flights.bring(this.destination, child, put, this);
    this.#note(part.parts, child, role, outcome);
  }

  async #childDocument(child: Descriptor, part: Part): Promise<void> {
    const { destination, session } = this;
    const { parts, depth: begin } = part;
    const { choice } = parts;
    const select = async (of: Descriptor, index: ImageIndex, depth: number): Promise<SelectedEntries> =>
      await this.select(of, index, { choice, depth });
    const there =
      destination.blobs === undefined
        ? !session.recheck && (await destination.has(child, this))
        : await isComplete(destination.blobs, child, { select, depth: begin });
    if (!there) {
      const absent = destination.blobs === undefined && !session.recheck;
      await this.#document(child, { ...part, put: { absent } });
      return;
    }
    if (isIndexType(child.mediaType)) parts.match();
    this.#note(parts, child, roleOf(child), 'exists');
  }

  async #blob(
    descriptor: Descriptor,
    role: ContentRole,
    repositories: readonly string[],
  ): Promise<ContentOutcome> {
    const { destination, source, session, signal } = this;
    if (session.dryRun) {
      if (await destination.has(descriptor, this)) return 'exists';
      return repositories.length > 0 ? 'mounted' : 'planned';
    }
    const progress = new PutProgress(descriptor, role, (event) =>
      session.tell({ ...event, destination: destination.location }),
    );
    // An archive opens its blobs when it is written, after this image is done with.
    const opening = destination.place.kind === 'archive' ? session.signal : signal;
    const put = async (): Promise<ContentOutcome> =>
      await destination.put(
        descriptor,
        (offset) => source.fetch(descriptor, { offset: offset ?? 0, signal: opening }),
        {
          mountFrom: this.#mountable(repositories),
          signal,
          onProgress: (bytes) => progress.at(bytes),
        },
      );
    return await this.#budget.download({ bytes: descriptor.size, signal }, () =>
      fetchedRight(source, descriptor, put),
    );
  }

  /** Without the registry's own name; the source's repository too, where it is in the same registry. */
  #mountable(repositories: readonly string[]): readonly string[] {
    const { place } = this.destination;
    if (place.kind !== 'registry') return [];
    const { registry, name } = this.source;
    const from = registry !== undefined && place.name === `docker://${registry}` ? [name] : [];
    return [...repositories, ...from].map((repository) => repository.slice(repository.indexOf('/') + 1));
  }

  #note(parts: CopiedParts, descriptor: Descriptor, role: ContentRole, outcome: ContentOutcome): void {
    parts.add({ descriptor, role, outcome });
    const { location: destination } = this.destination;
    const content = { descriptor, role, state: outcome, bytes: descriptor.size };
    this.session.tell({ type: 'content', destination, ...content });
  }
}

interface Part {
  readonly parts: CopiedParts;
  readonly depth: number;
  readonly put: PutOptions;
}

function roleOf({ mediaType }: Descriptor): ContentRole {
  if (isIndexType(mediaType)) return 'index';
  return isManifestType(mediaType) ? 'manifest' : 'other';
}
