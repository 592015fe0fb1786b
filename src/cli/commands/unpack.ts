import path from 'node:path';
import { loadImage } from '../../engine/image.js';
import { unpackImage } from '../../engine/unpack.js';
import { formatPlatform, parsePlatform } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { countOf } from '../format/count.js';
import { printable } from '../format/printable.js';
import { openProgressDisplay } from '../progress/progress-display.js';
import { unpackEvents } from '../progress/unpack-events.js';
import { withSource } from '../with-source.js';

export interface UnpackFlags {
  readonly platform?: string;
}

export async function unpackCommand(
  sourceName: string,
  directoryName: string,
  flags: UnpackFlags,
  context: CommandContext,
): CommandResult {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const directory = path.resolve(directoryName);
  const result = await withSource(sourceName, context, async ({ name, content, target, pool }) => {
    const image = await loadImage(content, target, platform);
    const display = await openProgressDisplay(context, { unpack: true });
    try {
      const onEvent = unpackEvents(name, image, (event) => {
        if (event.type === 'warning') context.log.warn(event.message);
        display.show(event);
      });
      const { signal } = context;
      const done = await unpackImage({ content, target, platform, directory, pool, signal, onEvent });
      return { name, ...done };
    } finally {
      display.finish();
    }
  });
  const { name, digest, imageId, chainId } = result;
  const layers = result.layers.map(({ descriptor, ...ids }) => ({
    digest: descriptor.digest,
    ...ids,
    size: descriptor.size,
  }));
  const json = {
    name,
    digest,
    platform: formatPlatform(result.platform),
    imageId,
    chainId,
    directory,
    layers,
  };
  answer(context, json, () => {
    return `unpacked ${printable(name)} (${json.platform}, ${countOf(layers.length, 'layer')}) into ${printable(directory)}\n`;
  });
  return 0;
}
