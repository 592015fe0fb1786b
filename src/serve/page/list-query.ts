import type { CatalogueImage } from './catalogue.js';

export const SORTS = ['name', 'size', 'layers', 'since'] as const;
export type Sort = (typeof SORTS)[number];

/** What a list is asked to show. */
export interface ListQuery {
  readonly text: string;
  readonly sort: Sort;
  readonly descending: boolean;
  /** From 1 on. */
  readonly page: number;
}

/** What is shown of a list. */
export interface ListPage {
  readonly images: readonly CatalogueImage[];
  /** Of all pages together. */
  readonly total: number;
  /** The one that is shown: the last, where one beyond it was asked for. */
  readonly page: number;
  readonly pages: number;
}

/** Images of one page. */
export const PAGE_SIZE = 100;
/** What somebody may search for, in characters. */
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
export function searchText({ name, familiar, target, platforms, referrers }: CatalogueImage): string {
  const kinds = referrers.map(({ kind }) => kind);
  return [name, familiar, target.digest, ...platforms, ...kinds].join(' ').toLowerCase();
}

const ORDERS: Readonly<Record<Sort, (a: CatalogueImage, b: CatalogueImage) => number>> = {
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  size: (a, b) => a.size - b.size,
  layers: (a, b) => a.layers[1] - b.layers[1],
  since: (a, b) => (a.since?.getTime() ?? 0) - (b.since?.getTime() ?? 0),
};
