import { type Abortable, RegistryError } from '../../errors.js';
import { type Digest, parseManifest } from '../../spec/index.js';
import { collectBeginning } from '../http/http.js';
import type { MirrorList } from '../hosts/mirror-list.js';
import { listsReferrers, readManifest, removeReferrer } from './referrers-index.js';
import type { Access } from '../hosts/registry-host.js';

/**
 * Deletes a manifest, and with it every tag that names it (distribution-spec: Deleting Manifests). One that
 * has a subject is taken out of the list of the subject's referrers, where clients keep that list.
 *
 * @throws {RegistryError} NOT_FOUND; UNSUPPORTED where the registry deletes none; all other codes
 */
export async function deleteManifest(
  mirrors: MirrorList,
  repository: string,
  digest: Digest,
  { signal }: Abortable = {},
): Promise<void> {
  const options = { signal, access: deleting(repository) };
  // Read first: afterwards its subject cannot be known any more.
  const stored = await readManifest(mirrors, repository, digest, options);
  const subject = `${mirrors.registry}/${repository}@${digest}`;
  if (stored === undefined) throw notFound(subject);
  await remove(mirrors, repository, { path: `manifests/${digest}`, subject, hint: NO_MANIFESTS }, { signal });
  const refersTo = subjectOf(stored.bytes, stored.mediaType);
  if (refersTo === undefined || (await listsReferrers(mirrors, repository, refersTo, options))) return;
  await removeReferrer(mirrors, repository, refersTo, digest, options);
}

/**
 * Deletes a tag, and not the manifest that it names (distribution-spec: Deleting tags). Many registries
 * cannot; the manifest is left alone then, since other tags may name it.
 *
 * @throws {RegistryError} NOT_FOUND; UNSUPPORTED where the registry deletes none; all other codes
 */
export async function deleteTag(
  mirrors: MirrorList,
  repository: string,
  tag: string,
  options: Abortable = {},
): Promise<void> {
  const subject = `${mirrors.registry}/${repository}:${tag}`;
  await remove(mirrors, repository, { path: `manifests/${tag}`, subject, hint: NO_TAGS }, options);
}

/**
 * Deletes a blob (distribution-spec: Deleting Blobs). Manifests that name it can then not be pulled any more.
 *
 * @throws {RegistryError} NOT_FOUND; UNSUPPORTED where the registry deletes none; all other codes
 */
export async function deleteBlob(
  mirrors: MirrorList,
  repository: string,
  digest: Digest,
  options: Abortable = {},
): Promise<void> {
  const subject = `blob ${digest} of ${mirrors.registry}/${repository}`;
  await remove(mirrors, repository, { path: `blobs/${digest}`, subject, hint: NO_BLOBS }, options);
}

const NO_MANIFESTS =
  'Ask the operator of the registry to enable deletion, or use its own tools: many registries have it disabled.';
const NO_TAGS =
  'Delete the manifest by its digest instead, if all tags that name it may go; this registry deletes no single tag.';
const NO_BLOBS =
  'Leave blobs to the registry, which removes those that no manifest names when it collects its garbage.';

/** How registries say that they do not delete. */
const REFUSALS: ReadonlySet<number> = new Set([400, 405, 501]);

interface Removal {
  readonly path: string;
  readonly subject: string;
  /** What to do where the registry deletes nothing of this kind. */
  readonly hint: string;
}

async function remove(
  mirrors: MirrorList,
  repository: string,
  { path, subject, hint }: Removal,
  { signal }: Abortable,
): Promise<void> {
  /** Whether an earlier try got no answer, so that it may have deleted it. */
  let mayBeGone = false;
  await mirrors.run({ capability: 'push', signal }, async ({ host, request }) => {
    try {
      const response = await request({
        method: 'DELETE',
        repository,
        path,
        access: [deleting(repository)],
        expected: [200, 202, 204],
        subject,
      });
      await collectBeginning(response);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      const { status } = error.details;
      if (status === 404 && mayBeGone) return;
      if (error.code === 'UNAVAILABLE') mayBeGone = true;
      throw status !== undefined && REFUSALS.has(status)
        ? unsupported(error, host.name, subject, hint)
        : error;
    }
  });
}

function unsupported(error: RegistryError, host: string, subject: string, hint: string): RegistryError {
  return new RegistryError(
    'UNSUPPORTED',
    `${subject}: ${subject.includes(host) ? 'the registry' : host} does not delete it`,
    {
      cause: error,
      details: error.details,
      hint,
    },
  );
}

function notFound(subject: string): RegistryError {
  return new RegistryError('NOT_FOUND', `${subject}: not found`, {
    hint: 'Check the names of the repository and of the digest.',
  });
}

/** Undefined also for what is no manifest that we could read: it can be deleted like any other. */
function subjectOf(bytes: Buffer, mediaType: string): Digest | undefined {
  try {
    return parseManifest(bytes, mediaType).subject?.digest;
  } catch {
    return undefined;
  }
}

function deleting(repository: string): Access {
  return { type: 'repository', name: repository, actions: 'pull,push,delete' };
}
