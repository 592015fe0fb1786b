import { shortDigest } from '../../spec/index.js';
import type { CatalogueImage, CatalogueReferrer } from './catalogue.js';
import { html, type Html } from './html.js';
import {
  listAddress,
  type ListPage,
  type ListQuery,
  PAGE_SIZE,
  searchText,
  type Sort,
} from './list-query.js';
import { imagePath, repositoryPath } from './page-paths.js';
import { countOf, formatAge, formatBytes } from './page-format.js';
import { commandList, type ServerAddress } from './pull-commands.js';
import type { ReferrerKind } from './referrer-kind.js';

export interface ImageTableOptions {
  readonly list: ListPage;
  readonly query: ListQuery;
  /** Where the list lies. */
  readonly path: string;
  /** Whether each image is shown with its repository. */
  readonly withRepository: boolean;
  readonly address: ServerAddress;
  readonly now: Date;
}

/** Images as a table, one a row, with links that sort it and turn its pages. */
export function imageTable(options: ImageTableOptions): Html {
  const { list, query, path } = options;
  const whole = list.pages === 1;
  const first = (list.page - 1) * PAGE_SIZE + 1;
  const shown = whole
    ? countOf(list.total, 'image')
    : `Images ${group(first)} to ${group(first + list.images.length - 1)} of ${group(list.total)}`;
  return html`<p class="status" role="status" data-status="${whole ? 'whole' : 'part'}">
      ${query.text === '' ? shown : `${shown} for “${query.text}”`}
    </p>
    <div class="card">
      <table class="wide">
        <caption>
          Images
        </caption>
        <thead>
          <tr>
            ${sortHeader(options, 'name', options.withRepository ? 'Image' : 'Tag')}
            <th scope="col">Platforms</th>
            ${sortHeader(options, 'size', 'Size')} ${sortHeader(options, 'layers', 'Layers')}
            ${sortHeader(options, 'since', 'In the mirror')}
            <th scope="col">Comes with</th>
            <th scope="col">Get it</th>
          </tr>
        </thead>
        <tbody>
          ${list.images.map((image) => imageRow(image, options))}
        </tbody>
      </table>
      ${
        list.images.length === 0
          ? html`<div class="empty">
              <p>Nothing in this mirror fits that.</p>
              ${query.text === '' ? undefined : html`<p><a href="${path}">Show all</a></p>`}
            </div>`
          : html`<div class="empty" data-nothing hidden><p>Nothing on this page fits that.</p></div>`
      }
    </div>
    ${whole ? undefined : pageLinks(options)}`;
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
    <td class="number" data-label="Size">${formatBytes(size)}</td>
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

/** Beyond so many, the page of the image tells. */
const MOST_PLATFORMS = 4;

function platformBadges(platforms: readonly string[]): readonly Html[] {
  const more = platforms.length - MOST_PLATFORMS;
  const shown = platforms.slice(0, more === 1 ? undefined : MOST_PLATFORMS);
  return [
    ...shown.map((platform) => html`<li class="badge">${platform}</li>`),
    ...(more > 1 ? [html`<li class="badge">and ${more} more</li>`] : []),
  ];
}

const NOUNS: Readonly<Record<ReferrerKind, readonly [one: string, several: string]>> = {
  signature: ['signature', 'signatures'],
  SBOM: ['SBOM', 'SBOMs'],
  attestation: ['attestation', 'attestations'],
  other: ['artifact', 'artifacts'],
};

const KINDS: readonly ReferrerKind[] = ['signature', 'SBOM', 'attestation', 'other'];

/** How many there are of each kind. */
export function referrerBadges(referrers: readonly CatalogueReferrer[]): Html {
  const counts = new Map<ReferrerKind, number>();
  for (const { kind } of referrers) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const sorted = [...counts].sort(([a], [b]) => KINDS.indexOf(a) - KINDS.indexOf(b));
  return html`<ul class="badges">
    ${sorted.map(([kind, count]) => html`<li class="badge good">${countOf(count, ...NOUNS[kind])}</li>`)}
  </ul>`;
}

function repositoryLabel({ familiar, reference }: CatalogueImage): string {
  const suffix =
    reference.digest === undefined ? `:${reference.tag ?? ''}` : familiar.slice(familiar.indexOf('@'));
  const name = familiar.endsWith(suffix) ? familiar.slice(0, -suffix.length) : familiar;
  return reference.digest !== undefined && reference.tag !== undefined ? name.replace(/:[^:/]*$/, '') : name;
}

function pageLinks({ list, query, path }: ImageTableOptions): Html {
  const { page, pages } = list;
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
