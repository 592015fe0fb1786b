import { type Abortable, SpecError } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  LIMITS,
  parseManifest,
  shortDigest,
} from '../../spec/index.js';
import { writing } from './blob-upload.js';
import { collectBeginning } from '../http/body-source.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import type { HostChain } from '../hosts/host-chain.js';
import { putManifest } from './put-manifest.js';
import { addReferrer, listsReferrers } from './referrers-index.js';
import type { VerifiedSource } from './verified-source.js';

export interface PushManifestOptions extends Abortable {
  readonly tag?: string | undefined;
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
  { signal, tag }: PushManifestOptions = {},
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
  if (await manifestExists(chain, repository, { at: tag ?? digest, digest }, options)) {
    // Who pushed it may have been interrupted before it was listed.
    if (subject === undefined || (await listsReferrers(chain, repository, subject, options))) return 'exists';
    await addReferrer(chain, repository, subject, entryOf(descriptor, manifest), options);
    return 'exists';
  }
  const listed = await putManifest(chain, repository, { bytes, mediaType, digest, tag }, { signal });
  if (subject !== undefined && listed !== subject) {
    await addReferrer(chain, repository, subject, entryOf(descriptor, manifest), options);
  }
  return 'pushed';
}

/** Whether the tag, or the repository, has this manifest. False where the registry says too little. */
async function manifestExists(
  chain: HostChain,
  repository: string,
  { at, digest }: { readonly at: string; readonly digest: Digest },
  { signal }: Abortable,
): Promise<boolean> {
  return await chain.run({ capability: 'push', signal }, async ({ host, attempt, signal: turnSignal }) => {
    const response = await host.request({
      method: 'HEAD',
      repository,
      path: `manifests/${at}`,
      headers: { accept: ACCEPTED_MANIFEST_TYPES.join(', ') },
      access: [writing(repository)],
      // Some refuse HEAD, and some refuse to read at all; the PUT then says why, if it is not for that.
      expected: [200, 400, 403, 404, 405],
      subject: `manifest ${shortDigest(digest)} of ${chain.registry}/${repository}`,
      attempt,
      signal: turnSignal,
    });
    await collectBeginning(response, ERROR_BODY_BYTES);
    if (response.status !== 200) return false;
    const said = response.header('docker-content-digest')?.trim();
    return said === digest || (said === undefined && at === digest);
  });
}

/** How a list of referrers names it: with its type and its annotations, as the registry's own list would. */
function entryOf({ digest, size }: Descriptor, manifest: ImageManifest | ImageIndex): Descriptor {
  const own = manifest.artifactType ?? '';
  const artifactType = own === '' && manifest.kind === 'manifest' ? manifest.config.mediaType : own;
  const { annotations } = manifest;
  return {
    mediaType: manifest.mediaType,
    digest,
    size,
    ...(artifactType === '' ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}
