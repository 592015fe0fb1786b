import type { BlobProvider } from '../../content/index.js';
import type { Page } from '../http/answer.js';
import { html, type Html, nameInPath } from './html.js';
import { imagePage, readDetails } from './image-page.js';
import { catalogueSummary, homePage, readListQuery, repositoryPage } from './list-page.js';
import { pageAnswer } from './page-shell.js';
import { serverAddress } from './pull-commands.js';
import type { CatalogueSource } from './store-catalogue.js';

export interface MirrorPageOptions {
  readonly catalogue: CatalogueSource;
  /** Where documents are read. */
  readonly blobs: BlobProvider;
  /** Whether clients reach the server by TLS. */
  readonly secure: boolean;
  /** Default: the clock. */
  readonly now?: (() => Date) | undefined;
}

/**
 * The pages for people: all images, one repository, one image. They are made of the catalogue, of which one
 * look is enough while nothing changes; the page of an image reads its manifests and configs, and never a
 * layer.
 */
export function mirrorPage({ catalogue: source, blobs, secure, now = clock }: MirrorPageOptions): Page {
  return async (path, { query, headers }) => {
    const repository = nameInPath(path, '/repositories/');
    const name = nameInPath(path, '/images/');
    const isPage = path === '/' || repository !== undefined || name !== undefined;
    if (!isPage && !wantsPage(headers.accept)) return undefined;
    const catalogue = await source.catalogue();
    const address = serverAddress(headers.host, secure);
    const options = { catalogue, query: readListQuery(query), address, now: now() };
    const image = catalogue.images.find((one) => one.name === name);
    let main: Html | undefined;
    if (path === '/') main = homePage(options);
    else if (repository !== undefined) main = repositoryPage(repository, options);
    else if (image !== undefined) {
      const details = await readDetails(blobs, image.target);
      main = imagePage({ ...options, image, details, platform: query.get('platform') });
    }
    const info = catalogueSummary(catalogue);
    if (main === undefined && !wantsPage(headers.accept)) return undefined;
    if (main === undefined) return pageAnswer({ info, ...NOTHING, status: 404 }, headers);
    return pageAnswer({ info, title: repository ?? image?.familiar ?? '', main }, headers);
  };
}

/** Whether a browser asks; programs are answered with the registry's own error. */
function wantsPage(accept = ''): boolean {
  return /\btext\/html\b/i.test(accept);
}

function clock(): Date {
  return new Date();
}

const NOTHING = {
  title: 'Not found',
  main: html`<h1>This is not in the mirror</h1>
    <p class="lead">It may have been removed, or never came.</p>
    <p><a href="/">Show all images</a></p>`,
};
