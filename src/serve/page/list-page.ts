import { formatSize, shortDigest } from '../../spec/index.js';
import {
  type Catalogue,
  type CatalogueImage,
  type CatalogueReferrer,
  compare,
  type ReferrerKind,
} from './catalogue.js';
import { countOf, formatAge, head, html, type Html, imagePath, repositoryPath, table } from './html.js';
import { commandList, type ServerAddress } from './pull-commands.js';

export interface ListPageOptions {
  readonly catalogue: Catalogue;
  readonly query: ListQuery;
  readonly address: ServerAddress;
  readonly now: Date;
}

/** The first page: all images of the mirror. */
export function homePage(options: ListPageOptions): Html {
  const { images } = options.catalogue;
  if (images.length === 0) return emptyPage();
  return html`<h1>Images in this mirror</h1>
    <p class="lead">Find an image, see its parts, and copy the command that pulls it from here.</p>
    ${searchForm('/', options.query, 'Search names, tags, platforms and digests')}
    ${imageTable({ ...options, images, path: '/', withRepository: true })}`;
}

/** One repository and its tags; undefined where there is no such one. */
export function repositoryPage(repository: string, options: ListPageOptions): Html | undefined {
  const images = options.catalogue.images.filter((image) => image.repository === repository);
  if (images.length === 0) return undefined;
  const path = repositoryPath(repository);
  return html`${crumbs([{ label: 'All images', path: '/' }], repository)}
    <h1>${repository}</h1>
    <p class="lead">All that this mirror has of the repository.</p>
    ${searchForm(path, options.query, 'Search tags, platforms and digests')}
    ${imageTable({ ...options, images, path, withRepository: false })}`;
}

/** Where a page stands. @param here the page itself */
export function crumbs(
  above: readonly { readonly label: string; readonly path: string }[],
  here: string,
): Html {
  return html`<nav class="crumbs" aria-label="Breadcrumb">
    <ol>
      ${above.map(({ label, path }) => html`<li><a href="${path}">${label}</a></li>`)}
      <li aria-current="page">${here}</li>
    </ol>
  </nav>`;
}

function searchForm(path: string, query: ListQuery, label: string): Html {
  return html`<form class="search" role="search" method="get" action="${path}">
    <div class="field">
      <label for="q">${label}</label
      ><input
        type="search"
        id="q"
        name="q"
        value="${query.text}"
        autocomplete="off"
        spellcheck="false"
        maxlength="300"
      />
    </div>
    ${query.sort === 'name' ? undefined : html`<input type="hidden" name="sort" value="${query.sort}" />`}
    ${query.descending ? html`<input type="hidden" name="order" value="desc" />` : undefined}
    <button type="submit">Search</button>
  </form>`;
}

function emptyPage(): Html {
  return html`<h1>This mirror is empty</h1>
    <div class="card">
      <div class="empty">
        <p>Nothing is here yet.</p>
        <p>
          Bring an image with <code>landfall pull</code>, or many with <code>landfall sync</code>; this page
          then shows them.
        </p>
      </div>
    </div>`;
}

/** The number of what a mirror holds, for the head of a page. */
export function catalogueSummary({ images, repositories, size }: Catalogue): readonly Html[] {
  return [
    html`<b>${group(repositories)}</b> ${repositories === 1 ? 'repository' : 'repositories'}`,
    html`<b>${group(images.length)}</b> ${images.length === 1 ? 'image' : 'images'}`,
    html`<b>${formatSize(size)}</b> in all`,
  ];
}

export const SORTS = ['name', 'size', 'layers', 'since'] as const;
type Sort = (typeof SORTS)[number];

/** What a list is asked to show. */
interface ListQuery {
  readonly text: string;
  readonly sort: Sort;
  readonly descending: boolean;
  /** From 1 on. */
  readonly page: number;
}

/** What is shown of a list. */
interface ListPage {
  readonly images: readonly CatalogueImage[];
  /** Of all pages together. */
  readonly total: number;
  /** The one that is shown: the last, where one beyond it was asked for. */
  readonly page: number;
  readonly pages: number;
}

/** Images of one page. */
export const PAGE_SIZE = 100;
/** The longest text of a search, in characters. */
const MOST_TEXT = 300;

/** Reads the query of a list's address; what makes no sense in it is passed over. */
export function readListQuery(query: URLSearchParams): ListQuery {
  const sort = SORTS.find((known) => known === query.get('sort')) ?? 'name';
  const page = /^[1-9]\d{0,6}$/.exec(query.get('page') ?? '')?.[0];
  return {
    text: (query.get('q') ?? '').slice(0, MOST_TEXT).trim(),
    sort,
    descending: query.get('order') === 'desc',
    page: page === undefined ? 1 : Number(page),
  };
}

/** The address of a list, with what differs from the usual. */
export function listAddress(path: string, query: ListQuery): string {
  const { text, sort, descending, page } = query;
  const parameters = new URLSearchParams({
    ...(text === '' ? {} : { q: text }),
    ...(sort === 'name' ? {} : { sort }),
    ...(descending ? { order: 'desc' } : {}),
    ...(page === 1 ? {} : { page: String(page) }),
  });
  return parameters.size === 0 ? path : `${path}?${parameters.toString()}`;
}

/** What of some images a query shows: those in which each of its words is found. */
export function selectImages(images: readonly CatalogueImage[], query: ListQuery): ListPage {
  const words = query.text.toLowerCase().split(/\s+/);
  const found = images.filter((image) => {
    const text = searchText(image);
    return words.every((word) => text.includes(word));
  });
  const sorted = found.toSorted((a, b) => ORDERS[query.sort](a, b) || ORDERS.name(a, b));
  if (query.descending) sorted.reverse();
  const pages = Math.max(1, Math.ceil(sorted.length / PAGE_SIZE));
  const page = Math.min(query.page, pages);
  return {
    images: sorted.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE),
    total: sorted.length,
    page,
    pages,
  };
}

/** What is searched of an image. */
function searchText({ name, familiar, target, platforms, referrers }: CatalogueImage): string {
  const kinds = referrers.map(({ kind }) => kind);
  return [name, familiar, target.digest, ...platforms, ...kinds].join(' ').toLowerCase();
}

const ORDERS: Readonly<Record<Sort, (a: CatalogueImage, b: CatalogueImage) => number>> = {
  name: (a, b) => compare(a.name, b.name),
  size: (a, b) => a.size - b.size,
  layers: (a, b) => a.layers[1] - b.layers[1],
  since: (a, b) => (a.since?.getTime() ?? 0) - (b.since?.getTime() ?? 0),
};

interface ImageTableOptions extends ListPageOptions {
  readonly images: readonly CatalogueImage[];
  /** Where the list lies. */
  readonly path: string;
  /** Whether each image is shown with its repository. */
  readonly withRepository: boolean;
}

/** Images as a table, one a row, with links that sort it and turn its pages. */
function imageTable(options: ImageTableOptions): Html {
  const { query, path } = options;
  const list = selectImages(options.images, query);
  const whole = list.pages === 1;
  const first = (list.page - 1) * PAGE_SIZE + 1;
  const shown = whole
    ? countOf(list.total, 'image')
    : `Images ${group(first)} to ${group(first + list.images.length - 1)} of ${group(list.total)}`;
  const heads = [
    sortHeader(options, 'name', options.withRepository ? 'Image' : 'Tag'),
    head('Platforms'),
    sortHeader(options, 'size', 'Size'),
    sortHeader(options, 'layers', 'Layers'),
    sortHeader(options, 'since', 'In the mirror'),
    head('Comes with'),
    head('Get it'),
  ];
  const rows = list.images.map((image) => imageRow(image, options));
  const nothing =
    rows.length === 0
      ? html`<div class="empty">
          <p>Nothing in this mirror fits that.</p>
          ${query.text === '' ? undefined : html`<p><a href="${path}">Show all</a></p>`}
        </div>`
      : html`<div class="empty" data-nothing hidden><p>Nothing on this page fits that.</p></div>`;
  return html`<p class="status" role="status" data-status="${whole ? 'whole' : 'part'}">
      ${query.text === '' ? shown : `${shown} for “${query.text}”`}
    </p>
    ${table('Images', heads, rows, nothing)} ${whole ? undefined : pageLinks(options, list)}`;
}

function sortHeader({ query, path }: ImageTableOptions, sort: Sort, label: string): Html {
  const current = query.sort === sort;
  // What one looks for by size or age is mostly at the large and the new end.
  const descending = current ? !query.descending : sort !== 'name';
  const address = listAddress(path, { ...query, sort, descending, page: 1 });
  const arrow = current ? (query.descending ? ' ↓' : ' ↑') : '';
  const state = current ? (query.descending ? 'descending' : 'ascending') : 'none';
  const numeric = sort === 'size' || sort === 'layers' ? 'number' : '';
  return html`<th scope="col" class="${numeric}" aria-sort="${state}">
    <a href="${address}">${label}<span aria-hidden="true">${arrow}</span></a>
  </th>`;
}

function imageRow(image: CatalogueImage, { withRepository, address, now }: ImageTableOptions): Html {
  const { reference, repository, size, layers, since, platforms, referrers } = image;
  const label = reference.tag ?? shortDigest(image.target.digest);
  const [least, most] = layers;
  return html`<tr data-search="${searchText(image)}">
    <th scope="row" class="name">
      ${withRepository ? html`<span class="path"><a href="${repositoryPath(repository)}">${repositoryLabel(image)}</a></span>` : undefined}<a
        href="${imagePath(image.name)}"
        >${label}</a
      >
    </th>
    <td data-label="Platforms">
      <ul class="badges">
        ${platforms.length === 0 ? html`<li class="badge">artifact</li>` : platformBadges(platforms)}
      </ul>
    </td>
    <td class="number" data-label="Size">${formatSize(size)}</td>
    <td class="number" data-label="Layers">${least === most ? String(most) : `${least} to ${most}`}</td>
    <td class="quiet" data-label="In the mirror">
      ${since === undefined ? '–' : html`<time datetime="${since.toISOString()}" title="${since.toISOString()}">${formatAge(since, now)}</time>`}
    </td>
    <td data-label="Comes with">
      ${referrers.length === 0 ? html`<span class="quiet">–</span>` : referrerBadges(referrers)}
    </td>
    <td class="get">
      <details class="pull" name="pull">
        <summary aria-label="Pull ${image.familiar}">Pull</summary>
        ${commandList(reference, address)}
      </details>
    </td>
  </tr> `;
}

/** The page of the image shows the rest. */
const MOST_PLATFORMS = 4;

function platformBadges(platforms: readonly string[]): readonly Html[] {
  const more = platforms.length - MOST_PLATFORMS;
  const shown = platforms.slice(0, more === 1 ? undefined : MOST_PLATFORMS);
  return [
    ...shown.map((platform) => html`<li class="badge">${platform}</li>`),
    ...(more > 1 ? [html`<li class="badge">and ${more} more</li>`] : []),
  ];
}

/** In their order. A signature is one only where it was verified: that there is one says nothing by itself. */
const NOUNS: readonly (readonly [ReferrerKind, one: string, verified?: boolean])[] = [
  ['signature', 'verified signature', true],
  ['signature', 'signature', false],
  ['SBOM', 'SBOM'],
  ['attestation', 'attestation'],
  ['other', 'artifact'],
];

/** How many there are of each kind. */
export function referrerBadges(referrers: readonly CatalogueReferrer[]): Html {
  const badges = NOUNS.map(([kind, noun, verified]) => {
    const count = referrers.filter(
      (one) => one.kind === kind && (verified === undefined || one.verified === verified),
    ).length;
    if (count === 0) return undefined;
    const text = `${countOf(count, noun)}${verified === false ? ', not verified' : ''}`;
    return html`<li class="badge${verified === true ? ' good' : ''}">${text}</li>`;
  });
  return html`<ul class="badges">
    ${badges}
  </ul>`;
}

function repositoryLabel({ familiar, reference }: CatalogueImage): string {
  const suffix =
    reference.digest === undefined ? `:${reference.tag ?? ''}` : familiar.slice(familiar.indexOf('@'));
  const name = familiar.endsWith(suffix) ? familiar.slice(0, -suffix.length) : familiar;
  return reference.digest !== undefined && reference.tag !== undefined ? name.replace(/:[^:/]*$/, '') : name;
}

function pageLinks({ query, path }: ImageTableOptions, { page, pages }: ListPage): Html {
  const to = (wanted: number, label: string, rel: string): Html =>
    wanted < 1 || wanted > pages
      ? html`<span></span>`
      : html`<a rel="${rel}" href="${listAddress(path, { ...query, page: wanted })}">${label}</a>`;
  return html`<nav class="pages" aria-label="Pages">
    ${to(page - 1, '← Previous', 'prev')}<span>Page ${page} of ${pages}</span
    >${to(page + 1, 'Next →', 'next')}
  </nav>`;
}

function group(count: number): string {
  return count.toLocaleString('en');
}
