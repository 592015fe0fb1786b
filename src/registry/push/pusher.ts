import { type Abortable, RegistryError, SpecError } from '../../errors.js';
import {
  type Descriptor,
  exactSize,
  formatSize,
  isIndexType,
  isManifestType,
  LIMITS,
  parseManifest,
  referrerDescriptor,
  shortDigest,
} from '../../spec/index.js';
import type { MirrorList } from '../hosts/mirror-list.js';
import { writing } from './blob-upload.js';
import { pushBlob } from './push-blob.js';
import { hasManifest, putManifest } from './put-manifest.js';
import { addReferrer, listsReferrers } from './referrers-index.js';
import { type OpenContent, VerifiedSource } from './verified-source.js';

/** How content is put into a repository. */
export interface PushOptions extends Abortable {
  /** Repositories of the same registry that may have a blob; at most three are asked. `library/debian` */
  readonly mountFrom?: readonly string[] | undefined;
  /** What a manifest is to be called. */
  readonly tag?: string | undefined;
  /** Whether the caller has just seen that it is not there, so that it is not looked for. */
  readonly absent?: boolean | undefined;
  /**
   * The bytes of the content that have been given to the network; less than before when some must be sent
   * again.
   */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Puts content into a repository: manifests under their tag or digest, everything else as blobs
 * (distribution-spec: Push). What a manifest names has to be there before it.
 *
 * `open` is called with the offset from which the bytes are wanted, again whenever some must be sent again;
 * the stream is ended or destroyed here. The bytes are held against the descriptor before the registry is
 * told that they are all: what does not match is never committed.
 */
export interface Pusher {
  /**
   * Puts content there. `mounted`: another repository of the registry had it; `exists`: this one had.
   *
   * @throws {RegistryError} all codes; {ContentError} SIZE_MISMATCH, DIGEST_MISMATCH; {SpecError}
   *   INVALID_MANIFEST, LIMIT_EXCEEDED and the like for a manifest that no client could pull; what `open` and
   *   its stream throw
   */
  push(
    descriptor: Descriptor,
    open: OpenContent,
    options?: PushOptions,
  ): Promise<'pushed' | 'mounted' | 'exists'>;
}

/** See {@link Pusher.push}. */
export async function pushContent(
  mirrors: MirrorList,
  repository: string,
  descriptor: Descriptor,
  open: OpenContent,
  { signal, mountFrom, tag, absent, onProgress }: PushOptions = {},
): Promise<'pushed' | 'mounted' | 'exists'> {
  const source = new VerifiedSource(descriptor, open, { signal, onProgress });
  if (isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType)) {
    return await pushManifest(mirrors, repository, descriptor, source, { signal, tag, absent });
  }
  if (tag !== undefined) {
    throw new RegistryError('INVALID_CONFIG', `content of type ${descriptor.mediaType} can have no tag`, {
      hint: 'Only manifests have tags.',
    });
  }
  return await pushBlob(mirrors, repository, descriptor, source, { signal, mountFrom, absent });
}

/**
 * Pushes a manifest by its tag, or by its digest, unless it is there under it. One that has a subject is then
 * listed among the subject's referrers, by the registry or, where the registry does not, by us
 * (distribution-spec: Pushing Manifests).
 *
 * @throws {RegistryError} all codes; {@link SpecError}; {@link ContentError} SIZE_MISMATCH, DIGEST_MISMATCH
 */
async function pushManifest(
  mirrors: MirrorList,
  repository: string,
  descriptor: Descriptor,
  source: VerifiedSource,
  { signal, tag, absent = false }: PushOptions,
): Promise<'pushed' | 'exists'> {
  const { digest, mediaType, size } = descriptor;
  if (size > LIMITS.manifestBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `manifest ${shortDigest(digest)} has ${exactSize(size)}, more than ${formatSize(LIMITS.manifestBytes)}`,
      { hint: 'Registries take no manifest as large as this one.' },
    );
  }
  const bytes = await source.bytes();
  const manifest = parseManifest(bytes, mediaType);
  const subject = manifest.subject?.digest;
  const options = { signal, access: writing(repository) };
  if (!absent && (await hasManifest(mirrors, repository, { at: tag ?? digest, digest }, { signal }))) {
    // An earlier push may have been interrupted before it was listed.
    if (subject === undefined || (await listsReferrers(mirrors, repository, subject, options)))
      return 'exists';
    await addReferrer(mirrors, repository, subject, referrerDescriptor(descriptor, manifest), options);
    return 'exists';
  }
  const listed = await putManifest(mirrors, repository, { bytes, mediaType, digest, tag }, { signal });
  if (subject !== undefined && listed !== subject) {
    await addReferrer(mirrors, repository, subject, referrerDescriptor(descriptor, manifest), options);
  }
  return 'pushed';
}
