import { resolveReference } from '../../engine/images/read-manifest.js';
import { LandfallError } from '../../errors.js';
import {
  formatPlatform,
  formatReference,
  parsePlatform,
  parseReference,
  quoted,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { printable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { invalidConfig } from '../config/settings.js';

/** Lists the tags of a repository, in the registry's order; as text while they come. */
export async function tagsCommand(
  name: string,
  flags: { readonly limit?: number },
  context: CommandContext,
): CommandResult {
  const { signal, settings, stdout } = context;
  const reference = parseRepositoryName(name);
  const repository = repositoryName(reference);
  await using registry = await openRegistry(context, [repository]);
  const tags: string[] = [];
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  for await (const tag of registry.repository(reference).tags({ signal })) {
    if (settings.output === 'json') tags.push(tag);
    else stdout.write(`${printable(tag)}\n`);
    left -= 1;
    if (left === 0) break;
  }
  if (settings.output === 'json') answer(context, { repository, tags }, () => '');
  return 0;
}

/**
 * Asks a registry what a name leads to. The text is the digest alone, so that a script can take it as it is.
 */
export async function resolveCommand(
  name: string,
  flags: { readonly platform?: string },
  context: CommandContext,
): CommandResult {
  const reference = parseRegistryName(name);
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  await using registry = await openRegistry(context, [formatReference(reference)]);
  const { digest, mediaType, size } = await resolveReference({
    registry,
    reference,
    ...(platform === undefined ? {} : { platform }),
    signal: context.signal,
  });
  const json = {
    reference: formatReference(reference),
    digest,
    mediaType,
    size,
    platform: platform && formatPlatform(platform),
  };
  answer(context, json, () => `${digest}\n`);
  return 0;
}

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
  throw invalidConfig(`${quoted(text)} is an image, not a repository`, {
    hint: 'Leave out the tag and the digest.',
  });
}
