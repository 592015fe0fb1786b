import { familiarReference, parseReference } from '../../spec/index.js';
import type { Answer } from '../http/answer.js';
import { RegistryFault } from '../http/registry-fault.js';
import type { Route } from '../http/route.js';
import type { ServeSource } from './serve-source.js';

/** The tags of a repository, in pages where the client asks for them (distribution-spec: Listing Tags). */
export async function answerTags(
  source: ServeSource,
  route: Extract<Route, { kind: 'tags' }>,
): Promise<Answer> {
  const tags = await source.tags(route.repository);
  if (tags === undefined) {
    throw new RegistryFault(404, 'NAME_UNKNOWN', `there is no repository ${route.repository} here`);
  }
  const page = pageOf(tags, route.query);
  return listing({ name: route.path, tags: page.items }, page, `/v2/${route.path}/tags/list`);
}

/** The repositories, each as the shortest path that asks for it here: docker-registry's catalog. */
export async function answerCatalog(
  source: ServeSource,
  route: Extract<Route, { kind: 'catalog' }>,
): Promise<Answer> {
  const names = await source.repositories();
  const page = pageOf(
    names.map((name) => familiarReference(parseReference(name))),
    route.query,
  );
  return listing({ repositories: page.items }, page, '/v2/_catalog');
}

interface Page {
  readonly items: readonly string[];
  /** The query of the next page; absent on the last one. */
  readonly next?: string;
}

/** In the order of code units, which for tags and names is ASCII's, as the specification asks. */
function pageOf(all: readonly string[], query: URLSearchParams): Page {
  const last = query.get('last');
  const rest = all.toSorted().filter((item) => last === null || item > last);
  const n = query.get('n');
  if (n === null) return { items: rest };
  if (!/^\d{1,9}$/.test(n)) throw new RegistryFault(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number');
  const items = rest.slice(0, Number(n));
  const end = items.at(-1);
  if (end === undefined || items.length === rest.length) return { items };
  const next = new URLSearchParams({ n, last: end });
  const ns = query.get('ns');
  if (ns !== null) next.set('ns', ns);
  return { items, next: next.toString() };
}

function listing(content: object, page: Page, path: string): Answer {
  const body = Buffer.from(`${JSON.stringify(content)}\n`);
  return {
    status: 200,
    headers: {
      'Content-Type': 'application/json',
      'Content-Length': body.length,
      ...(page.next === undefined ? {} : { Link: `<${path}?${page.next}>; rel="next"` }),
    },
    body,
  };
}
