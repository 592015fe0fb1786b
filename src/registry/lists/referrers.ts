import { type Abortable, RegistryError, SpecError } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  algorithmOf,
  bareMediaType,
  type Descriptor,
  type Digest,
  encodedOf,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
  shortDigest,
} from '../../spec/index.js';
import { collectBeginning, type HttpResponse, redactUrl } from '../http/http.js';
import { parseErrorBody } from '../http/error-response.js';
import type { MirrorList } from '../hosts/mirror-list.js';
import { pageBody, type PagedList, pagesOf } from './paged-list.js';

/** How referrers are listed. */
export interface ReferrersOptions extends Abortable {
  /** Only those of this type. */
  readonly artifactType?: string;
  /**
   * Whether it is known that the registry keeps no such lists, so that only the index in their place is asked
   * for.
   */
  readonly byTag?: boolean;
  /** Called with whether the registry keeps such lists, once that is known. */
  readonly onKept?: (kept: boolean) => void;
}

export interface ReferrersTarget {
  readonly mirrors: MirrorList;
  readonly repository: string;
}

/**
 * How registries without the list answer, besides 404: as to a malformed path, a method or a type that they
 * lack.
 */
const WITHOUT_LIST: readonly number[] = [400, 404, 405, 406, 501];

/**
 * The manifests and indexes whose `subject` is a digest, each once (distribution-spec: Listing Referrers).
 * Where the registry has no such list, the index is read that clients keep in its place (Referrers Tag
 * Schema). Nothing was verified: a descriptor says only what there is to fetch.
 *
 * @throws {RegistryError} all codes; {SpecError} INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED for an
 *   index that is malformed
 */
export async function* listReferrers(
  target: ReferrersTarget,
  subject: Digest,
  options: ReferrersOptions = {},
): AsyncGenerator<Descriptor> {
  const seen = new Set<Digest>();
  for await (const descriptor of found(target, subject, options)) {
    if (seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    yield descriptor;
  }
}

/**
 * The tag under which clients keep the list of what refers to a digest (distribution-spec: Referrers Tag
 * Schema).
 */
export function referrersTag(subject: Digest): string {
  const tag = `${algorithmOf(subject).slice(0, 32)}-${encodedOf(subject).slice(0, 64)}`;
  return tag.replace(/[^A-Za-z0-9_.-]/g, '-');
}

async function* found(
  target: ReferrersTarget,
  subject: Digest,
  options: ReferrersOptions,
): AsyncGenerator<Descriptor> {
  let paged = false;
  if (options.byTag === true) {
    yield* byTag(target, subject, options);
    return;
  }
  for await (const page of pagesOf(target.mirrors, byApi(target, subject, options), options)) {
    options.onKept?.(page !== undefined);
    if (page === undefined) {
      if (paged) throw vanished(target, subject);
      yield* byTag(target, subject, options);
      return;
    }
    paged = true;
    yield* page;
  }
}

/** A page is undefined where the registry has no such list. */
function byApi(
  { mirrors, repository }: ReferrersTarget,
  subject: Digest,
  { artifactType }: ReferrersOptions,
): PagedList<Descriptor[] | undefined> {
  const words = subjectOf(mirrors, repository, subject);
  return {
    repository,
    path: `referrers/${subject}`,
    query: artifactType === undefined ? undefined : { artifactType },
    accept: MEDIA_TYPES.ociIndex,
    expected: [200, ...WITHOUT_LIST],
    subject: words,
    read: async (response) => {
      // Some answer what they do not know with a page for people.
      if (response.status !== 200 || !isIndex(response)) {
        await collectBeginning(response);
        return undefined;
      }
      const descriptors = await readIndex(response, words);
      return isFiltered(response) ? descriptors : ofType(descriptors, artifactType);
    },
  };
}

async function* byTag(
  { mirrors, repository }: ReferrersTarget,
  subject: Digest,
  options: ReferrersOptions,
): AsyncGenerator<Descriptor> {
  const words = subjectOf(mirrors, repository, subject);
  const list: PagedList<Descriptor[]> = {
    repository,
    path: `manifests/${referrersTag(subject)}`,
    accept: ACCEPTED_MANIFEST_TYPES.join(', '),
    expected: [200, 404],
    subject: words,
    read: async (response) => {
      // Where the tag stands for something else, no client keeps a list.
      if (response.status === 200 && isIndex(response)) return await readIndex(response, words);
      const body = await collectBeginning(response);
      if (response.status === 404 && parseErrorBody(body, []).codes.includes('NAME_UNKNOWN')) {
        throw noRepository(response, words);
      }
      return [];
    },
  };
  for await (const descriptors of pagesOf(mirrors, list, options)) {
    yield* ofType(descriptors, options.artifactType);
  }
}

function isIndex(response: HttpResponse): boolean {
  return bareMediaType(response.header('content-type') ?? '') === MEDIA_TYPES.ociIndex;
}

async function readIndex(response: HttpResponse, words: string): Promise<Descriptor[]> {
  const document = parseManifest(await pageBody(response, words, LIMITS.manifestBytes), MEDIA_TYPES.ociIndex);
  if (document.kind === 'index') return [...document.manifests];
  throw new SpecError('INVALID_MANIFEST', `${words}: the answer is not an image index`);
}

function isFiltered(response: HttpResponse): boolean {
  const applied = response.headers('oci-filters-applied').flatMap((line) => line.split(','));
  return applied.some((name) => name.trim().toLowerCase() === 'artifacttype');
}

function ofType(descriptors: readonly Descriptor[], artifactType: string | undefined): Descriptor[] {
  return descriptors.filter((d) => artifactType === undefined || d.artifactType === artifactType);
}

function subjectOf({ registry }: MirrorList, repository: string, subject: Digest): string {
  return `the referrers of ${registry}/${repository}@${algorithmOf(subject)}:${shortDigest(subject)}`;
}

function noRepository(response: HttpResponse, words: string): RegistryError {
  const { host } = response.url;
  return new RegistryError('NOT_FOUND', `${words}: there is no such repository at ${host}`, {
    details: { method: 'GET', url: redactUrl(response.url), status: response.status },
  });
}

function vanished({ mirrors, repository }: ReferrersTarget, subject: Digest): RegistryError {
  const words = subjectOf(mirrors, repository, subject);
  return new RegistryError('PROTOCOL', `${words}: the registry gave the first page and not the next`);
}
