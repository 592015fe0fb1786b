import type { ReferrerFinder } from '../content/index.js';
import { type Descriptor, LIMITS, MEDIA_TYPES } from '../spec/index.js';
import type { Answer } from './answer.js';
import type { Route } from './route.js';
import type { ServeSource } from './serve-source.js';

const BEFORE = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[`;
const AFTER = ']}\n';

/**
 * What refers to a digest (distribution-spec: Listing Referrers), by digest, in pages no longer than clients read. It is
 * never a 404, also for a repository that is not here: by that a client takes a registry for one without this list.
 */
export async function answerReferrers(
  source: ServeSource,
  finder: ReferrerFinder,
  route: Extract<Route, { kind: 'referrers' }>,
): Promise<Answer> {
  const { query, path, digest } = route;
  // An empty filter is none.
  const wanted = query.get('artifactType') ?? '';
  const named = await source.targets(route.repository);
  const kept = (await source.keptBeside?.(route.repository, digest)) ?? [];
  const page = await pageOf(finder, [...named, ...kept], { route, wanted });
  const body = Buffer.from(`${BEFORE}${page.entries.join(',')}${AFTER}`);
  const next = page.next === undefined ? undefined : nextQuery(query, page.next);
  return {
    status: 200,
    headers: {
      'Content-Type': MEDIA_TYPES.ociIndex,
      'Content-Length': body.length,
      ...(wanted === '' ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...(next === undefined ? {} : { Link: `</v2/${path}/referrers/${digest}?${next}>; rel="next"` }),
    },
    body,
  };
}

interface Page {
  /** Descriptors, as JSON. */
  readonly entries: readonly string[];
  /** The digest after which the next page begins; absent on the last one. */
  readonly next?: string;
}

async function pageOf(
  finder: ReferrerFinder,
  targets: readonly Descriptor[],
  { route, wanted }: { route: Extract<Route, { kind: 'referrers' }>; wanted: string },
): Promise<Page> {
  const last = route.query.get('last');
  const entries: string[] = [];
  let bytes = BEFORE.length + AFTER.length;
  let end: string | undefined;
  for (const found of await finder.find(targets, route.digest)) {
    if (last !== null && found <= last) continue;
    const descriptor = await finder.describe(found);
    if (descriptor === undefined || !isWanted(descriptor, wanted)) continue;
    const entry = JSON.stringify(descriptor);
    bytes += Buffer.byteLength(entry) + 1;
    const full = bytes > LIMITS.manifestBytes || entries.length === LIMITS.indexManifests;
    if (end !== undefined && full) return { entries, next: end };
    entries.push(entry);
    end = found;
  }
  return { entries };
}

function isWanted({ artifactType }: Descriptor, wanted: string): boolean {
  return wanted === '' || artifactType === wanted;
}

function nextQuery(query: URLSearchParams, last: string): string {
  const next = new URLSearchParams(query);
  next.set('last', last);
  return next.toString();
}
