import type { BlobProvider } from '../../content/index.js';
import type { Answer, PageRequest } from '../http/answer.js';
import type { Catalogue } from './catalogue.js';
import { formatBytes, html, type Html, nameInPath } from './html.js';
import { imagePage, readDetails } from './image-page.js';
import { catalogueFacts, findImage, homePage, readListQuery, repositoryPage } from './list-page.js';
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
  readonly now?: () => Date;
}

/**
 * The pages for people: all images, one repository, one image. They are made of what the catalogue knows, of
 * which one look is enough while nothing changes; the page of an image reads its manifests and configs, and
 * never a layer.
 */
export class MirrorPage {
  readonly #options: MirrorPageOptions;

  constructor(options: MirrorPageOptions) {
    this.#options = options;
  }

  /** Undefined where no page lies at a path. See `Page` of the server. */
  async answer(path: string, request: PageRequest): Promise<Answer | undefined> {
    const repository = nameInPath(path, '/repositories/');
    const name = nameInPath(path, '/images/');
    if (path !== '/' && repository === undefined && name === undefined) return undefined;
    const catalogue = await this.#options.catalogue.catalogue();
    const page =
      repository === undefined && name === undefined
        ? { title: '', main: homePage(this.#list(catalogue, request)) }
        : await this.#below(catalogue, { repository, name }, request);
    const facts = catalogueFacts(catalogue, formatBytes(catalogue.size));
    return pageAnswer(
      { facts, ...(page ?? NOTHING), ...(page === undefined ? { status: 404 } : {}) },
      request.headers,
    );
  }

  async #below(
    catalogue: Catalogue,
    at: {
      readonly repository: string | undefined;
      readonly name: string | undefined;
    },
    request: PageRequest,
  ): Promise<{ readonly title: string; readonly main: Html } | undefined> {
    const { repository, name } = at;
    if (repository !== undefined) {
      const main = repositoryPage(repository, this.#list(catalogue, request));
      return main === undefined ? undefined : { title: repository, main };
    }
    const image = name === undefined ? undefined : findImage(catalogue, name);
    if (image === undefined) return undefined;
    const main = imagePage({
      image,
      details: await readDetails(this.#options.blobs, image.target),
      platform: request.query.get('platform') ?? undefined,
      address: this.#address(request),
      now: this.#now(),
    });
    return { title: image.familiar, main };
  }

  #list(catalogue: Catalogue, request: PageRequest): Parameters<typeof homePage>[0] {
    return {
      catalogue,
      query: readListQuery(request.query),
      address: this.#address(request),
      now: this.#now(),
    };
  }

  #address({ headers }: PageRequest): ReturnType<typeof serverAddress> {
    return serverAddress(headers.host, this.#options.secure);
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}

const NOTHING = {
  title: 'Not found',
  main: html`<h1>This is not in the mirror</h1>
    <p class="lead">It may have been removed, or never came.</p>
    <p><a href="/">Show all images</a></p>`,
};
