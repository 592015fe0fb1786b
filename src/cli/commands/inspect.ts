import { loadImage, platformsOf } from '../../engine/image.js';
import { readVerified } from '../../engine/read-document.js';
import { knownVerifications } from '../../engine/trust/known-verifications.js';
import { LandfallError } from '../../errors.js';
import { LIMITS, parsePlatform } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { imageFacts, renderImageFacts } from '../image-facts.js';
import { type OpenedSource, withSource } from '../with-source.js';

export interface InspectFlags {
  readonly platform?: string;
  readonly raw?: boolean;
  readonly config?: boolean;
}

export async function inspectCommand(
  name: string,
  flags: InspectFlags,
  context: CommandContext,
): CommandResult {
  if (flags.raw === true && flags.config === true) {
    throw new LandfallError('INVALID_CONFIG', '--raw and --config exclude each other', {
      hint: 'Ask for the manifest or for the config.',
    });
  }
  await withSource(name, context, async (source) => {
    if (flags.raw === true || flags.config === true) context.stdout.write(await exactBytes(source, flags));
    else await describe(source, flags, context);
  });
  return 0;
}

/** The target as it was fetched, a platform's manifest, or its config, byte for byte. */
async function exactBytes({ content, target }: OpenedSource, flags: InspectFlags): Promise<Buffer> {
  if (flags.raw === true && flags.platform === undefined) {
    return readVerified(content, target, LIMITS.manifestBytes);
  }
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const image = await loadImage(content, target, platform);
  return flags.raw === true
    ? readVerified(content, image.manifestDescriptor, LIMITS.manifestBytes)
    : readVerified(content, image.manifest.config, LIMITS.configBytes);
}

async function describe(source: OpenedSource, flags: InspectFlags, context: CommandContext): Promise<void> {
  const { name, content, store, target } = source;
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const image = await loadImage(content, target, platform);
  const facts = imageFacts(name, target, image, {
    platforms: await platformsOf(content, target),
    verifications: store === undefined ? [] : await knownVerifications(store, target),
  });
  answer(context, facts, () => renderImageFacts(facts));
}
