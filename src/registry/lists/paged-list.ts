import { type Abortable, RegistryError, SpecError } from '../../errors.js';
import { formatSize, parseJson } from '../../spec/index.js';
import type { MirrorList, HostAttempt } from '../hosts/mirror-list.js';
import type { Access, RegistryHost } from '../hosts/registry-host.js';
import { FIELD, HeaderCursor, type HttpResponse, parseUrl, redactUrl, wholeBody } from '../http/http.js';

/**
 * One page, in bytes. A registry that knows no pages answers with everything: 100,000 tags of 100 characters.
 */
const PAGE_BYTES = 16 * 1024 * 1024;
/**
 * More than any list has: the largest public repositories have some 100,000 tags, and pages have 50 or more.
 */
const DEFAULT_MAX_PAGES = 10_000;

/** A list that a registry gives in pages. */
export interface PagedList<T> {
  readonly repository?: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly accept: string;
  readonly access?: Access;
  readonly expected: readonly number[];
  readonly maxPages?: number;
  /** In words, for messages: `the tags of quay.io/team/app`. */
  readonly subject: string;
  /** Reads one page. Should it throw a RegistryError or SpecError, another host is asked for it. */
  readonly read: (response: HttpResponse) => Promise<T>;
}

/**
 * The pages of a list, each fetched when the one before has been used (distribution-spec: Listing Tags). It
 * begins at the registry itself, or at a mirror where that cannot be reached, and goes on where it began,
 * since no other host knows what a `Link` of that one means.
 *
 * @throws {RegistryError} all codes; PROTOCOL for pages without end, or that lead back to an earlier one
 */
export async function* pagesOf<T>(
  mirrors: MirrorList,
  list: PagedList<T>,
  { signal }: Abortable,
): AsyncGenerator<T> {
  const { subject, repository, path, query, accept, access, expected, maxPages = DEFAULT_MAX_PAGES } = list;
  const seen = new Set<string>();
  /** The host where the list began, and its address of the next page. */
  let from: RegistryHost | undefined;
  let location: URL | undefined;
  const fetchPage = async ({ host, request }: HostAttempt): Promise<Page<T>> => {
    if (from !== undefined && host.name !== from.name) {
      throw new RegistryError('NOT_FOUND', `${subject}: only ${from.name}, where they began, can go on`);
    }
    const response = await request({
      method: 'GET',
      repository,
      path,
      query,
      location,
      headers: { accept },
      access: access === undefined ? undefined : [access],
      expected,
      subject,
    });
    const next = nextPage(response, subject);
    if (next !== undefined && (next.href === response.url.href || seen.has(next.href))) {
      response.destroy();
      throw brokenLink(response, subject, 'leads back to an earlier page');
    }
    return { content: await list.read(response), host, url: response.url, next };
  };
  for (let count = 1; count <= maxPages; count += 1) {
    const upstreamFirst = from?.isUpstream ?? true;
    const page = await mirrors.run({ capability: 'resolve', upstreamFirst, signal }, fetchPage);
    yield page.content;
    if (page.next === undefined) return;
    seen.add(page.url.href);
    from = page.host;
    location = page.next;
  }
  throw new RegistryError('PROTOCOL', `${subject}: there is no end after ${maxPages} pages`, {
    hint: 'The registry, or a proxy before it, is broken; ask who runs it.',
  });
}

interface Page<T> {
  readonly content: T;
  readonly host: RegistryHost;
  readonly url: URL;
  readonly next: URL | undefined;
}

/**
 * Where the list goes on, which is always the origin that gave this page: registries behind a proxy give
 * absolute addresses of hosts that are theirs alone, and what they may see is not to be shown elsewhere.
 */
function nextPage(response: HttpResponse, subject: string): URL | undefined {
  const target = nextTarget(response.headers('link'));
  if (target === undefined) return undefined;
  const url = parseUrl(target, response.url);
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    response.destroy();
    throw brokenLink(response, subject, 'is not an address');
  }
  const next = new URL(`${response.url.origin}${url.pathname}${url.search}`);
  const ns = response.url.searchParams.get('ns');
  // A mirror of several registries may forget which one was meant.
  if (ns !== null && !next.searchParams.has('ns')) next.searchParams.set('ns', ns);
  return next;
}

function brokenLink(response: HttpResponse, subject: string, fault: string): RegistryError {
  const { host } = response.url;
  return new RegistryError('PROTOCOL', `${subject}: the link of ${host} to the next page ${fault}`, {
    hint: 'The registry, or a proxy before it, is broken; ask who runs it.',
    details: { method: 'GET', url: redactUrl(response.url), status: response.status },
  });
}

/** The whole body of a page. @throws {RegistryError} PROTOCOL where it is longer than `maxBytes` */
export async function pageBody(
  response: HttpResponse,
  subject: string,
  maxBytes: number = PAGE_BYTES,
): Promise<Buffer> {
  return await wholeBody(response, maxBytes, () =>
    malformedPage(response, subject, `is longer than ${formatSize(maxBytes)}`),
  );
}

/**
 * The names in a page such as `{"tags": ["1", "2"]}`; null stands for none, as in Go.
 *
 * @throws {RegistryError} PROTOCOL
 */
export async function readNames(response: HttpResponse, key: string, subject: string): Promise<string[]> {
  const body = await pageBody(response, subject);
  let document: unknown;
  try {
    document = parseJson(body, subject, PAGE_BYTES);
  } catch (error) {
    if (error instanceof SpecError) throw malformedPage(response, subject, 'is not JSON', error);
    throw error;
  }
  const names = typeof document === 'object' && document !== null ? valueOf(document, key) : undefined;
  if (names === null) return [];
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw malformedPage(response, subject, `has no ${key}`);
}

function valueOf(object: object, key: string): unknown {
  return Object.entries(object).find(([name]) => name === key)?.[1];
}

function malformedPage(
  response: HttpResponse,
  subject: string,
  fault: string,
  cause?: unknown,
): RegistryError {
  const { host } = response.url;
  return new RegistryError('PROTOCOL', `${subject}: the answer of ${host} ${fault}`, {
    cause,
    details: { method: 'GET', url: redactUrl(response.url), status: response.status },
  });
}

/** One link of a `Link` header (RFC 8288, 3). */
export interface Link {
  /** As the header has it: absolute, or relative to what was asked for. */
  readonly target: string;
  /** Relation types, in lower case. */
  readonly rel: readonly string[];
}

const TARGET = /<([^<>]*)>/y;
const SEMICOLON = /[ \t]*;[ \t]*/y;
// Wider than a token: servers write URLs and media types without quotes.
const BARE = /[^\s",;]*/y;

/**
 * All links of the header's lines, in order. What comes after a fault in a line is left out, and so is a link
 * with another context than what was asked for (`anchor`), which says nothing about this answer.
 */
export function parseLinks(lines: readonly string[]): Link[] {
  return lines.flatMap(parseLine);
}

/** Where a list goes on, as the header has it; undefined on its last page. */
export function nextTarget(lines: readonly string[]): string | undefined {
  return parseLinks(lines).find(({ rel }) => rel.includes('next'))?.target;
}

function parseLine(line: string): Link[] {
  const links: Link[] = [];
  const at = new HeaderCursor(line);
  for (;;) {
    at.take(FIELD.commas);
    const target = at.take(TARGET)?.[1];
    if (target === undefined) return links;
    const parameters = parametersAt(at);
    at.take(FIELD.blanks);
    if (!at.isAtItemsEnd) return links;
    const rel = (parameters.get('rel') ?? '').toLowerCase().split(/\s+/);
    if (!parameters.has('anchor')) links.push({ target: target.trim(), rel: rel.filter((r) => r !== '') });
  }
}

/** Of two with one name the first counts, as the RFC says of `rel`. */
function parametersAt(at: HeaderCursor): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  while (at.take(SEMICOLON) !== undefined) {
    const name = at.take(FIELD.token)?.[0].toLowerCase();
    // `<…>; rel="next";` is written by some, and means nothing more.
    if (name === undefined) continue;
    const hasValue = at.take(FIELD.equals) !== undefined;
    const value = hasValue ? (at.takeQuoted() ?? at.take(BARE)?.[0] ?? '') : '';
    if (!parameters.has(name)) parameters.set(name, value);
  }
  return parameters;
}
