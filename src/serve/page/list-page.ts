import type { Catalogue, CatalogueImage } from './catalogue.js';
import { html, type Html } from './html.js';
import { imageTable } from './image-table.js';
import { type ListQuery, selectImages } from './list-query.js';
import { repositoryPath } from './page-paths.js';
import type { ServerAddress } from './pull-commands.js';

export interface ListPageOptions {
  readonly catalogue: Catalogue;
  readonly query: ListQuery;
  readonly address: ServerAddress;
  readonly now: Date;
}

/** The first page: all images of the mirror. */
export function homePage({ catalogue, query, address, now }: ListPageOptions): Html {
  if (catalogue.images.length === 0) return emptyPage();
  return html`<h1>What is in this mirror</h1>
    <p class="lead">Find an image, see what it is made of, and copy the command that pulls it from here.</p>
    ${searchForm('/', query, 'Search names, tags, platforms and digests')}
    ${imageTable({ list: selectImages(catalogue.images, query), query, path: '/', withRepository: true, address, now })}`;
}

/** One repository and its tags; undefined where there is no such one. */
export function repositoryPage(repository: string, options: ListPageOptions): Html | undefined {
  const { catalogue, query, address, now } = options;
  const images = catalogue.images.filter((image) => image.repository === repository);
  if (images.length === 0) return undefined;
  const path = repositoryPath(repository);
  return html`${crumbs([{ label: 'All images', path: '/' }], repository)}
    <h1>${repository}</h1>
    <p class="lead">All that this mirror has of the repository.</p>
    ${searchForm(path, query, 'Search tags, platforms and digests')}
    ${imageTable({ list: selectImages(images, query), query, path, withRepository: false, address, now })}`;
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
export function catalogueFacts({ images, repositories }: Catalogue, size: string): readonly Html[] {
  const fact = (count: number | string, what: string): Html =>
    html`<b>${typeof count === 'number' ? count.toLocaleString('en') : count}</b> ${what}`;
  return [
    fact(repositories, repositories === 1 ? 'repository' : 'repositories'),
    fact(images.length, images.length === 1 ? 'image' : 'images'),
    fact(size, 'in all'),
  ];
}

/** An image by its canonical name. */
export function findImage({ images }: Catalogue, name: string): CatalogueImage | undefined {
  return images.find((image) => image.name === name);
}
