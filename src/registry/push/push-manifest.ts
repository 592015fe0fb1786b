import { type Abortable, SpecError } from '../../errors.js';
import { type Descriptor, LIMITS, parseManifest, referrerDescriptor, shortDigest } from '../../spec/index.js';
import { writing } from './blob-upload.js';
import type { HostChain } from '../hosts/host-chain.js';
import { hasManifest } from './stored-manifest.js';
import { putManifest } from './put-manifest.js';
import { addReferrer, listsReferrers } from './referrers-index.js';
import type { VerifiedSource } from './verified-source.js';

export interface PushManifestOptions extends Abortable {
  readonly tag?: string | undefined;
  /** Whether it is known not to be there. */
  readonly absent?: boolean | undefined;
}

/**
 * Pushes a manifest by its tag, or by its digest, unless it is there under it. One that has a subject is then listed among
 * the subject's referrers, by the registry or, where the registry does not, by us (distribution-spec: Pushing Manifests).
 *
 * @throws {RegistryError} all codes; {@link SpecError}; {@link ContentError} SIZE_MISMATCH, DIGEST_MISMATCH
 */
export async function pushManifest(
  chain: HostChain,
  repository: string,
  descriptor: Descriptor,
  source: VerifiedSource,
  { signal, tag, absent = false }: PushManifestOptions = {},
): Promise<'pushed' | 'exists'> {
  const { digest, mediaType, size } = descriptor;
  if (size > LIMITS.manifestBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `manifest ${shortDigest(digest)} has ${size} bytes, more than ${LIMITS.manifestBytes}`,
      { hint: 'Registries take no manifest as large as this one.' },
    );
  }
  const bytes = await source.bytes();
  const manifest = parseManifest(bytes, mediaType);
  const subject = manifest.subject?.digest;
  const options = { signal, access: writing(repository) };
  if (!absent && (await hasManifest(chain, repository, { at: tag ?? digest, digest }, { signal }))) {
    // Who pushed it may have been interrupted before it was listed.
    if (subject === undefined || (await listsReferrers(chain, repository, subject, options))) return 'exists';
    await addReferrer(chain, repository, subject, referrerDescriptor(descriptor, manifest), options);
    return 'exists';
  }
  const listed = await putManifest(chain, repository, { bytes, mediaType, digest, tag }, { signal });
  if (subject !== undefined && listed !== subject) {
    await addReferrer(chain, repository, subject, referrerDescriptor(descriptor, manifest), options);
  }
  return 'pushed';
}
