import type { HostChain } from '../hosts/host-chain.js';
import { pagesOf, readNames } from './paged-list.js';
import { type ListOptions, listQuery } from './tag-list.js';

/**
 * The repositories of a registry, in its order: `team/app`. Not of the specification: many registries refuse it, or show
 * some of what they have.
 *
 * @throws {RegistryError} all codes
 */
export async function* listCatalog(chain: HostChain, options: ListOptions = {}): AsyncGenerator<string> {
  const subject = `the repositories of ${chain.registry}`;
  const pages = pagesOf(
    chain,
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
