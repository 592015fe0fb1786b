import { resolveReference } from '../../engine/resolve.js';
import { formatPlatform, formatReference, parsePlatform } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { openRegistry } from '../open-registry.js';
import { parseRegistryName } from '../registry-name.js';

export interface ResolveFlags {
  readonly platform?: string;
}

/** Asks a registry what a name leads to. The text is the digest alone, so that a script can take it as it is. */
export async function resolveCommand(
  name: string,
  flags: ResolveFlags,
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
    ...(platform === undefined ? {} : { platform: formatPlatform(platform) }),
  };
  answer(context, json, () => `${digest}\n`);
  return 0;
}
