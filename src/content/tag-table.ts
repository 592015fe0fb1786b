import { type Descriptor, type Reference, repositoryName } from '../spec/index.js';

/** Repository, then tag, then what it points to. A repository whose images have no tag is there with none. */
export type TagTable = ReadonlyMap<string, ReadonlyMap<string, Descriptor>>;

/**
 * Sorts named images by repository and tag. Of two with one name the first counts, as for skopeo. Where a digest stands
 * beside a tag, the tag is but a note of where the digest was found once, and names nothing.
 */
export function tagTable(images: Iterable<{ reference: Reference; target: Descriptor }>): TagTable {
  const table = new Map<string, Map<string, Descriptor>>();
  for (const { reference, target } of images) {
    const name = repositoryName(reference);
    const tags = table.get(name) ?? new Map<string, Descriptor>();
    const { tag, digest } = reference;
    if (tag !== undefined && digest === undefined && !tags.has(tag)) tags.set(tag, target);
    table.set(name, tags);
  }
  return table;
}
