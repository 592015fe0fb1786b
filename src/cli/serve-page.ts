import type { Store } from '../engine/store.js';
import { MirrorPage, type Page, type ServeSource, SourceCatalogue, StoreCatalogue } from '../serve/index.js';

/** The pages of a store. @param secure whether clients reach it by TLS */
export function storePage(store: Store, secure: boolean): Page {
  const { database, documents, catalog: images, content, additional } = store;
  const known = [documents, ...additional.map((other) => other.documents)];
  const catalogue = new StoreCatalogue({ database, documents: known, images, content });
  const page = new MirrorPage({ catalogue, blobs: content, secure });
  return (path, request) => page.answer(path, request);
}

/** The pages of a source that has no database, such as a layout. */
export function sourcePage(source: ServeSource, secure: boolean): Page {
  const page = new MirrorPage({ catalogue: new SourceCatalogue(source), blobs: source.blobs, secure });
  return (path, request) => page.answer(path, request);
}
