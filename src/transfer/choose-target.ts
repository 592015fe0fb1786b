import type { DocumentBytes } from '../engine/document-bytes.js';
import { childForPlatform, closestSilent, type SilentEntry, silentEntries } from '../engine/read-document.js';
import { SpecError } from '../errors.js';
import {
  type Descriptor,
  formatPlatform,
  hostPlatform,
  type ImageIndex,
  isIndexType,
  isRunnablePlatform,
  LIMITS,
  normalizePlatform,
  type Platform,
  selectPlatform,
} from '../spec/index.js';
import type { CopyRequest } from './copy-request.js';
import type { CopySession } from './copy-session.js';
import { selectEntries } from './select-platforms.js';
import type { SourceRepository } from './source.js';

/**
 * What is to be at the destination of what a name stands for at the source: the same, or one manifest of it, or a new index of
 * some of them.
 *
 * Errors: those of reading; NO_MATCHING_PLATFORM.
 */
export async function chooseTarget(
  source: SourceRepository,
  resolved: Descriptor,
  request: CopyRequest,
  session: CopySession,
): Promise<Descriptor> {
  if (!isIndexType(resolved.mediaType)) return resolved;
  const { platforms, rewriteIndex = false } = request;
  if (platforms === 'one') return bare((await chosenPath(source, resolved, session)).at(-1) ?? resolved);
  if (!rewriteIndex || platforms === 'all') return resolved;
  return await rewritten(source, resolved, request, session);
}

/**
 * What leads from what a name stands for to the one manifest of it that is copied by itself: that for this machine, else the only one
 * that the source has.
 *
 * Errors: as {@link chooseTarget}
 */
export async function chosenPath(
  source: SourceRepository,
  target: Descriptor,
  session: CopySession,
): Promise<readonly Descriptor[]> {
  const host = hostPlatform();
  const path = [target];
  let next = target;
  for (let depth = 0; depth <= LIMITS.indexDepth; depth += 1) {
    if (!isIndexType(next.mediaType)) return path;
    const document = await session.documents.document(source, next, session);
    if (document.kind !== 'index') return path;
    const stated = selectPlatform(document.manifests, host);
    next =
      stated !== undefined && (await isThere(source, stated, session))
        ? stated
        : await otherwiseChosen(source, { target, index: document, host }, session);
    path.push(next);
  }
  throw new SpecError('LIMIT_EXCEEDED', `${target.digest} nests indexes more than ${LIMITS.indexDepth} deep`);
}

/** A registry has what its indexes list, as a rule, and counts how often it is asked. */
async function isThere(
  source: SourceRepository,
  entry: Descriptor,
  { signal }: CopySession,
): Promise<boolean> {
  return source.registry !== undefined || (await source.resolve(entry.digest, { signal })) !== undefined;
}

/** Where no entry that says so is for this machine, and there: what says no platform, else the only one that is there. */
async function otherwiseChosen(
  source: SourceRepository,
  o: { readonly target: Descriptor; readonly index: ImageIndex; readonly host: Platform },
  session: CopySession,
): Promise<Descriptor> {
  const { target, index, host } = o;
  const { documents, signal } = session;
  const read: DocumentBytes = (descriptor) => documents.bytes(source, descriptor, { signal });
  const silent = await silentEntries(index, read);
  return (
    closestSilent(silent, host) ??
    (await onlyPresent(source, { index, silent }, session)) ??
    (await childForPlatform(target, index, host, read))
  );
}

async function onlyPresent(
  source: SourceRepository,
  { index, silent }: { readonly index: ImageIndex; readonly silent: readonly SilentEntry[] },
  { signal }: CopySession,
): Promise<Descriptor | undefined> {
  const offered = index.manifests.flatMap((entry) => {
    const said = entry.platform === undefined ? [] : [entry.platform];
    const platforms = silent.find((each) => each.entry === entry)?.platforms ?? said;
    return platforms.filter(isRunnablePlatform).map((platform) => ({ entry, platform }));
  });
  const there = await Promise.all(offered.map(({ entry }) => source.resolve(entry.digest, { signal })));
  const present = offered.filter((_, at) => there[at] !== undefined);
  const names = new Set(present.map(({ platform }) => formatPlatform(normalizePlatform(platform))));
  return names.size === 1 ? present[0]?.entry : undefined;
}

/** The same index with some of its entries: all else stays, in its order, so that the same choice gives the same bytes. */
async function rewritten(
  source: SourceRepository,
  resolved: Descriptor,
  { platforms }: CopyRequest,
  session: CopySession,
): Promise<Descriptor> {
  const { signal, documents } = session;
  const bytes = await documents.bytes(source, resolved, { signal });
  const index = await documents.document(source, resolved, { signal });
  if (index.kind !== 'index') return resolved;
  const { kept, omitted } = await selectEntries(resolved, index, {
    choice: platforms,
    has: async ({ digest }) => (await source.resolve(digest, { signal })) !== undefined,
    read: (descriptor) => documents.bytes(source, descriptor, { signal }),
  });
  if (omitted.length === 0) return resolved;
  const raw = JSON.parse(bytes.toString('utf8')) as { manifests: unknown[] };
  const stays = new Set(kept.map((entry) => index.manifests.indexOf(entry)));
  const fewer = { ...raw, manifests: raw.manifests.filter((_, at) => stays.has(at)) };
  return documents.add(Buffer.from(JSON.stringify(fewer)), resolved.mediaType);
}

function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}
