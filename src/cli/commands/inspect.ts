import { platformsOf } from '../../engine/image.js';
import { layerPresence } from '../../engine/layer-presence.js';
import { readVerified } from '../../engine/read-document.js';
import { knownVerifications } from '../../engine/trust/known-verifications.js';
import { LandfallError } from '../../errors.js';
import { LIMITS, parsePlatform, type Platform } from '../../spec/index.js';
import { imageGraph } from '../../transfer/image-graph.js';
import { loadImageAnywhere } from '../../transfer/repository-content.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { imageFacts } from '../image-facts.js';
import { type OpenedImage, OpenedImages } from '../opened-images.js';
import { renderImageFacts } from '../render-image-facts.js';
import { writeAll } from '../write-all.js';

export interface InspectFlags {
  readonly platform?: string;
  readonly raw?: boolean;
  readonly config?: boolean;
}

/** Shows what an image is made of, wherever it lies. */
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
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  await using images = new OpenedImages(context);
  const opened = await images.image(name);
  if (flags.raw === true || flags.config === true) {
    const bytes = await exactBytes(opened, platform, flags);
    await writeAll(context, [bytes]);
  } else {
    await describe(opened, platform, context);
  }
  return 0;
}

/** The target as it was fetched, a platform's manifest, or its config, byte for byte. */
async function exactBytes(
  { content, target }: OpenedImage,
  platform: Platform | undefined,
  flags: InspectFlags,
): Promise<Buffer> {
  if (flags.raw === true && platform === undefined) {
    return await readVerified(content, target, LIMITS.manifestBytes);
  }
  const image = await loadImageAnywhere(content, target, platform);
  return flags.raw === true
    ? await readVerified(content, image.manifestDescriptor, LIMITS.manifestBytes)
    : await readVerified(content, image.manifest.config, LIMITS.configBytes);
}

async function describe(
  opened: OpenedImage,
  platform: Platform | undefined,
  context: CommandContext,
): Promise<void> {
  const { name, content, store, target, isRemote, repository } = opened;
  const image = await loadImageAnywhere(content, target, platform);
  const graph = await imageGraph(target, {
    repository,
    content,
    isLocal: !isRemote,
    // What refers to other platforms is theirs.
    platform: image.platform,
    signal: context.signal,
    onWarning: (message) => context.log.warn(message),
  });
  const facts = imageFacts(name, target, image, {
    platforms: isRemote ? undefined : await platformsOf(content, target),
    verifications: store === undefined ? [] : await knownVerifications(store, target),
    presence: store === undefined ? undefined : await layerPresence(store, image.layers),
    graph,
  });
  answer(context, facts, () => renderImageFacts(facts));
}
