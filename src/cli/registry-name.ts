import { LandfallError } from '../errors.js';
import { parseReference, quoted, type Reference } from '../spec/index.js';

const TRANSPORT = 'docker://';
const FILES = /^(?:oci|oci-archive|docker-archive|dir|docker-daemon|containers-storage):/;

/**
 * Reads what is always at a registry: `REF`, or `docker://REF` as skopeo has it.
 *
 * @throws {LandfallError} INVALID_CONFIG for a file; {SpecError} INVALID_REFERENCE
 */
export function parseRegistryName(text: string): Reference {
  if (text.startsWith(TRANSPORT)) return parseReference(text.slice(TRANSPORT.length), { defaultTag: true });
  if (FILES.test(text)) {
    throw new LandfallError('INVALID_CONFIG', `${quoted(text)} is not at a registry`, {
      hint: `Name an image at a registry; docker://${text} is one of this name.`,
    });
  }
  return parseReference(text, { defaultTag: true });
}

/**
 * The same for a repository, without tag and digest.
 *
 * @throws {LandfallError} as {@link parseRegistryName}; INVALID_CONFIG where there is a tag or a digest
 */
export function parseRepositoryName(text: string): Reference {
  const named = parseRegistryName(text);
  const bare = { registry: named.registry, repository: named.repository };
  const { tag, digest } = parseReference(text.startsWith(TRANSPORT) ? text.slice(TRANSPORT.length) : text);
  if (tag === undefined && digest === undefined) return bare;
  throw new LandfallError('INVALID_CONFIG', `${quoted(text)} is an image, not a repository`, {
    hint: 'Leave out the tag and the digest.',
  });
}
