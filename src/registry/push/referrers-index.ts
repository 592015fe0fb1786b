import { KeyedLimiter, pause } from '../../concurrency/index.js';
import { type Abortable, ContentError, RegistryError, SpecError } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  createDigester,
  type Descriptor,
  type Digest,
  digestOf,
  exactSize,
  formatSize,
  isDigest,
  type JsonObject,
  LIMITS,
  MEDIA_TYPES,
  parseJson,
  parseManifest,
  shortDigest,
} from '../../spec/index.js';
import type { MirrorList } from '../hosts/mirror-list.js';
import type { Access } from '../hosts/registry-host.js';
import { collectBeginning, wholeManifest } from '../http/http.js';
import { referrersTag } from '../lists/referrers.js';
import { putManifest } from './put-manifest.js';

/** How often a change is made anew when another client has overwritten it. */
const TRIES = 5;
/** The longest pause between two of them, in milliseconds. */
const PAUSE_MS = 200;

/**
 * Whether the registry keeps lists of referrers itself (distribution-spec: Listing Referrers). Everything but
 * an index means that it does not.
 */
export async function listsReferrers(
  mirrors: MirrorList,
  repository: string,
  subject: Digest,
  { signal, access }: Abortable & { readonly access: Access },
): Promise<boolean> {
  try {
    return await mirrors.run({ capability: 'push', signal }, async ({ request }) => {
      const response = await request({
        method: 'GET',
        repository,
        path: `referrers/${subject}`,
        headers: { accept: MEDIA_TYPES.ociIndex },
        access: [access],
        expected: [200, 400, 404, 405, 406, 501],
        subject: `referrers of ${mirrors.registry}/${repository}@${subject}`,
      });
      await collectBeginning(response);
      // There are frontends that answer any path with a page.
      return (
        response.status === 200 && (response.header('content-type') ?? '').includes(MEDIA_TYPES.ociIndex)
      );
    });
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'PROTOCOL') return false;
    throw error;
  }
}

/**
 * Enters a manifest in the list of its subject's referrers, where it is not in it (distribution-spec: Pushing
 * Manifests with Subject).
 */
export async function addReferrer(
  mirrors: MirrorList,
  repository: string,
  subject: Digest,
  entry: Descriptor,
  options: Abortable & { readonly access: Access },
): Promise<void> {
  await changeIndex({ mirrors, repository, subject, ...options }, (entries) =>
    entries.some(({ digest }) => digest === entry.digest) ? undefined : [...entries, entry],
  );
}

/**
 * Takes a manifest that was deleted out of the list of its subject's referrers (distribution-spec: Deleting
 * Manifests).
 */
export async function removeReferrer(
  mirrors: MirrorList,
  repository: string,
  subject: Digest,
  referrer: Digest,
  options: Abortable & { readonly access: Access },
): Promise<void> {
  await changeIndex({ mirrors, repository, subject, ...options }, (entries) => {
    const others = entries.filter(({ digest }) => digest !== referrer);
    return others.length === entries.length ? undefined : others;
  });
}

/** Where the referrers of a digest are listed. */
interface ReferrersList extends Abortable {
  readonly mirrors: MirrorList;
  readonly repository: string;
  readonly subject: Digest;
  readonly access: Access;
}

/** Changes the entries of an index; undefined where nothing needs to be changed. */
type Change = (entries: readonly JsonObject[]) => readonly (JsonObject | Descriptor)[] | undefined;

/**
 * Changes of one list that this process makes follow one another, since the registry would keep only the
 * last.
 */
const TURNS = new KeyedLimiter<string>(1);

async function changeIndex(list: ReferrersList, change: Change): Promise<void> {
  const { mirrors, repository, subject } = list;
  const key = `${mirrors.registry}/${repository}@${subject}`;
  await TURNS.run(key, () => changeUntilItStays(list, change), list);
}

/**
 * Reads, changes, writes, and reads again: the protocol has no way to write only where no other client has
 * written since, so a change that another client has overwritten is made anew.
 */
async function changeUntilItStays(list: ReferrersList, change: Change): Promise<void> {
  const { mirrors, repository, subject, signal } = list;
  const tag = referrersTag(subject);
  for (let attempt = 0; attempt <= TRIES; attempt += 1) {
    if (attempt > 1) await pause(Math.random() * PAUSE_MS, { signal });
    const index = await readIndex(list);
    const manifests = change(entriesOf(index));
    if (manifests === undefined) return;
    if (attempt === TRIES) break;
    const bytes = Buffer.from(JSON.stringify({ ...index, manifests }));
    if (bytes.length > LIMITS.manifestBytes) throw tooLong(tag, bytes.length);
    const digest = digestOf(bytes);
    await putManifest(
      mirrors,
      repository,
      { bytes, mediaType: MEDIA_TYPES.ociIndex, digest, tag },
      { signal },
    );
  }
  throw new RegistryError(
    'UNAVAILABLE',
    `the list of referrers ${mirrors.registry}/${repository}:${tag} was overwritten ${TRIES} times by others`,
    { retryable: true, hint: 'Push again when no other client pushes referrers of the same image.' },
  );
}

/** The manifest as it is, so that what others have put into it stays; a new one where there is none. */
async function readIndex(list: ReferrersList): Promise<JsonObject> {
  const { mirrors, repository, subject } = list;
  const stored = await readManifest(mirrors, repository, referrersTag(subject), list);
  if (stored === undefined) {
    return { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] };
  }
  const { mediaType } = parseManifest(stored.bytes, stored.mediaType);
  if (mediaType !== MEDIA_TYPES.ociIndex) {
    throw new SpecError(
      'INVALID_MANIFEST',
      `the tag ${referrersTag(subject)} of ${mirrors.registry}/${repository} is no list of referrers but ${mediaType}`,
      {
        hint: `Check that tag; it is in the place for the list of referrers of ${shortDigest(subject)} are listed.`,
      },
    );
  }
  return parseJson(stored.bytes, 'list of referrers', LIMITS.manifestBytes) as JsonObject;
}

/** Entries of an index that {@link parseManifest} has taken. */
function entriesOf({ manifests }: JsonObject): readonly JsonObject[] {
  return (manifests ?? []) as unknown as readonly JsonObject[];
}

function tooLong(tag: string, size: number): SpecError {
  return new SpecError(
    'LIMIT_EXCEEDED',
    `the list of referrers ${tag} would have ${exactSize(size)}, more than ${formatSize(LIMITS.manifestBytes)}`,
    { hint: 'Delete referrers that are no longer needed.' },
  );
}

export interface StoredManifest {
  readonly bytes: Buffer;
  /** As `Content-Type` has it, without parameters; empty where it is absent. */
  readonly mediaType: string;
}

/**
 * The manifest under a tag or digest at the host that is pushed to, which no mirror can stand in for.
 * Undefined where there is none. By digest it is verified.
 *
 * @throws {RegistryError} all codes; LIMIT_EXCEEDED, DIGEST_MISMATCH
 */
export async function readManifest(
  mirrors: MirrorList,
  repository: string,
  at: Digest | string,
  { signal, access }: Abortable & { readonly access: Access },
): Promise<StoredManifest | undefined> {
  const separator = isDigest(at) ? '@' : ':';
  const subject = `${mirrors.registry}/${repository}${separator}${at}`;
  return await mirrors.run({ capability: 'push', signal }, async ({ request }) => {
    const response = await request({
      method: 'GET',
      repository,
      path: `manifests/${at}`,
      headers: { accept: ACCEPTED_MANIFEST_TYPES.join(', ') },
      access: [access],
      expected: [200, 404],
      subject,
    });
    if (response.status === 404) {
      await collectBeginning(response);
      return undefined;
    }
    const bytes = await wholeManifest(response, `manifest ${subject}`);
    if (isDigest(at)) checkDigest(bytes, at, subject);
    return { bytes, mediaType: bareMediaType(response.header('content-type') ?? '') };
  });
}

function checkDigest(bytes: Buffer, expected: Digest, subject: string): void {
  const actual = createDigester(expected).update(bytes).digest();
  if (actual === expected) return;
  throw new ContentError('DIGEST_MISMATCH', `the manifest ${subject} has the digest ${actual}`, {
    hint: 'The registry, or a proxy before it, has changed the manifest; do not trust it.',
    details: { digest: expected, expected, actual },
  });
}
