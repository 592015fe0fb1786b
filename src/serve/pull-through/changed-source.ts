import type { ServeSource } from '../serve-source.js';
import type { PullThrough } from './pull-through.js';

/** A source that answers some questions otherwise. */
export function changedSource(source: PullThrough, changes: Partial<ServeSource>): ServeSource {
  return {
    blobs: source.blobs,
    restoring: source.restoring,
    resolve: (repository, tag) => source.resolve(repository, tag),
    tags: (repository) => source.tags(repository),
    targets: (repository) => source.targets(repository),
    keptBeside: (repository, subject) => source.keptBeside(repository, subject),
    repositories: () => source.repositories(),
    isWithheld: (repository, blob) => source.isWithheld(repository, blob),
    mediaTypeOf: (digest) => source.mediaTypeOf(digest),
    blobsOf: (repository) => source.blobsOf(repository),
    ...changes,
  };
}

/** distribution-spec: Warnings. What is no printable ASCII, or would end the text, is left out. */
export function warningHeader(text: string): string {
  return `299 - "${text.replace(/[^\x20-\x7e]|["\\]/g, '').slice(0, 300)}"`;
}
