import { mapLimited } from '../../concurrency/index.js';
import { throwIfAborted } from '../../errors.js';
import { type Descriptor, type Digest, isDigest } from '../../spec/index.js';
import { chooseTarget } from './select-platforms.js';
import { CopyAdmission } from './copy-admission.js';
import type { CopyReport } from './copy-report.js';
import type { CopyChoice, CopyRequest } from './copy-request.js';
import type { CopySession } from './copy-session.js';
import type { ArchiveDestination } from '../transports/archives/archive-destination.js';
import type {
  DestinationRepository,
  DestinationTransport,
  SourceRepository,
} from '../transports/destination.js';
import type { ImageTransports } from '../transports/image-transports.js';
import { ImageCopy } from './image-copy.js';
import { resolveSource } from './resolve-source.js';

/** Images that are looked at at once. */
const LOOKS_AT_ONCE = 8;

/**
 * Copies an image, with all that it consists of, from one repository to another, wherever they are. Content
 * keeps its digest; what the destination has is not moved, and what several images of a session share is
 * moved once.
 *
 * A manifest is put after all that it names, so that what breaks leaves no image that is not whole, and the
 * next copy goes on from there. An image that the destination has under the tag costs one look at each side.
 *
 * Where the session's policy asks for signatures, they are verified before anything is put, of what the
 * source's name stood for then: all else is asked for by its digest.
 *
 * Errors: NOT_FOUND or BLOB_NOT_FOUND (the source has no such image); NO_MATCHING_PLATFORM; those of the
 * policy and of `verifyImage`; those of both sides; ABORTED.
 */
export async function copy(
  source: SourceRepository,
  destination: DestinationRepository,
  request: CopyRequest,
  session: CopySession,
): Promise<CopyReport> {
  const resolved = await resolveSource(source, request.from, session);
  return await copyResolved(source, destination, { ...request, resolved }, session);
}

/** {@link copy} between two transports as they are typed: `docker://REF`, `oci:DIR[:TAG]` and the like. */
export async function copyNamed(
  transports: ImageTransports,
  { source, destination, ...choice }: CopyChoice & { readonly source: string; readonly destination: string },
  session: CopySession,
): Promise<CopyReport> {
  const { repository, from } = await transports.source(source);
  // Before the destination, which may be made by being opened.
  const resolved = await resolveSource(repository, from, session);
  const to = await transports.destination(destination);
  const request = { ...choice, from, tag: to.tag, resolved };
  const [seen = request] = await requireRoom(to.transport, session, [
    (looking) => copyResolved(repository, to.repository, { ...request, referrers: undefined }, looking),
  ]);
  const report = await copyResolved(
    repository,
    to.repository,
    { ...request, resolved: seen.resolved },
    session,
  );
  if (!session.dryRun) await to.transport.finish(session);
  return report;
}

/** {@link copy} of an image as it is typed into an archive of several, which the caller finishes. */
export async function copyIntoArchive(
  transports: ImageTransports,
  {
    source,
    archive,
    ...choice
  }: CopyChoice & { readonly source: string; readonly archive: ArchiveDestination },
  session: CopySession,
): Promise<CopyReport> {
  const { repository, from } = await transports.source(source);
  const tag = from === '' || isDigest(from) ? undefined : from;
  return await copy(repository, archive.repository(repository.name), { ...choice, from, tag }, session);
}

export interface ResolvedCopyRequest extends CopyRequest {
  /** What `from` stands for, as the source has said. */
  readonly resolved: Descriptor;
}

/** {@link copy} of an image whose name at the source is resolved already. */
export async function copyResolved(
  source: SourceRepository,
  destination: DestinationRepository,
  request: ResolvedCopyRequest,
  session: CopySession,
): Promise<CopyReport> {
  try {
    return await copyOnce(source, destination, request, session);
  } catch (error) {
    const { from, resolved } = request;
    // Loaded only here: a copy between files starts without what knows registries.
    const { isMisdescribed } = await import('../../registry/index.js');
    if (!isMisdescribed(error, resolved)) throw error;
    // Of a registry's tag HEAD may have told something else than there is.
    const { signal } = session;
    const seen = await source.resolve(from, { signal, byGet: true });
    if (seen === undefined) throw error;
    return await copyOnce(source, destination, { ...request, resolved: seen }, session);
  }
}

async function copyOnce(
  source: SourceRepository,
  destination: DestinationRepository,
  request: ResolvedCopyRequest,
  session: CopySession,
): Promise<CopyReport> {
  const { from, tag, platforms, resolved } = request;
  const referrers = destination.transport.holdsArtifacts === false ? undefined : request.referrers;
  const admission = await CopyAdmission.of({ source, destination, request, session });
  const target = await chooseTarget(source, resolved, request, session);
  const admitted = await admission?.admit(resolved, target);
  const image = new ImageCopy({ source, destination, session, choice: platforms, admission });
  try {
    const report = await image.root({ target, resolved, from, tag, referrers, admitted });
    return { ...report, ...signedBy(admission) };
  } finally {
    image.end();
  }
}

function signedBy(admission: CopyAdmission | undefined): Pick<CopyReport, 'signatures'> {
  return admission?.signatures === undefined ? {} : { signatures: admission.signatures };
}

/**
 * Refuses images of which the destination has no room for what it lacks, once for all of them: a first look at
 * each, which puts nothing, says what that is. An image that cannot be looked at fails when it is copied.
 *
 * Errors: NO_SPACE, ABORTED
 *
 * @param looks copy one image each; what refers to it, which is small, does not count
 * @param unpacked layers among them that are unpacked too
 * @returns what was seen, without images that could not be looked at
 */
export async function requireRoom(
  transport: DestinationTransport,
  session: CopySession,
  looks: readonly ((looking: CopySession) => Promise<CopyReport>)[],
  unpacked: readonly Descriptor[] = [],
): Promise<readonly CopyReport[]> {
  if (transport.requireRoom === undefined || session.dryRun) return [];
  const looking = session.looking();
  const missing = new Map<Digest, Descriptor>();
  const seen = await mapLimited(looks, LOOKS_AT_ONCE, async (look) => {
    try {
      return [await look(looking)];
    } catch {
      throwIfAborted(session.signal);
      return [];
    }
  });
  for (const { outcome, descriptor } of seen.flat().flatMap(({ contents }) => contents))
    if (outcome === 'planned') missing.set(descriptor.digest, descriptor);
  await transport.requireRoom([...missing.values()], unpacked, session);
  return seen.flat();
}
