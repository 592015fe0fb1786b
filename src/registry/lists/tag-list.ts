import type { Abortable } from '../../errors.js';
import type { MirrorList } from '../hosts/mirror-list.js';
import { pagesOf, readNames } from './paged-list.js';

/** How a list is read. */
export interface ListOptions extends Abortable {
  /**
   * How many names a page is asked to have. Default: as many as the registry likes. Some refuse more than
   * they like.
   */
  readonly pageSize?: number;
  /** Begin after this name. */
  readonly last?: string;
}

/**
 * The tags of a repository, in the registry's order (distribution-spec: Listing Tags). They are as the
 * registry has them: none was held against the grammar. Leaving the loop early fetches no more pages.
 *
 * @throws {RegistryError} all codes; NOT_FOUND for a repository that is not there
 */
export async function* listTags(
  { mirrors, repository }: { readonly mirrors: MirrorList; readonly repository: string },
  options: ListOptions = {},
): AsyncGenerator<string> {
  const subject = `the tags of ${mirrors.registry}/${repository}`;
  const pages = pagesOf(
    mirrors,
    {
      repository,
      path: 'tags/list',
      query: listQuery(options),
      accept: 'application/json',
      expected: [200],
      subject,
      read: (response) => readNames(response, 'tags', subject),
    },
    options,
  );
  for await (const names of pages) yield* names;
}

function listQuery({ pageSize, last }: ListOptions): Record<string, string> {
  return {
    ...(pageSize === undefined ? {} : { n: String(pageSize) }),
    ...(last === undefined ? {} : { last }),
  };
}

/**
 * The repositories of a registry, in its order: `team/app`. Not of the specification: many registries refuse
 * it, or show some of what they have.
 *
 * @throws {RegistryError} all codes
 */
export async function* listCatalog(mirrors: MirrorList, options: ListOptions = {}): AsyncGenerator<string> {
  const subject = `the repositories of ${mirrors.registry}`;
  const pages = pagesOf(
    mirrors,
    {
      path: '_catalog',
      query: listQuery(options),
      accept: 'application/json',
      access: { type: 'registry', name: 'catalog', actions: '*' },
      expected: [200],
      subject,
      read: (response) => readNames(response, 'repositories', subject),
    },
    options,
  );
  for await (const names of pages) yield* names;
}
