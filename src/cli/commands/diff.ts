import { toBytePath } from '../../system/index.js';
import { compareStacks } from '../../unpack/index.js';
import type { CommandContext, CommandResult } from '../command-context.js';
import { type DiffSide, renderDiff } from '../image-diff.js';
import { openViews } from '../open-views.js';
import { OpenedImages, type OpenedLayers } from '../opened-images.js';
import { writeAll } from '../write-all.js';

export interface DiffFlags {
  readonly platform?: string;
  readonly times?: boolean;
  readonly exitCode?: boolean;
}

/** Shows which files differ between two images, or two layers, wherever they lie. */
export async function diffCommand(
  before: string,
  after: string,
  paths: readonly string[],
  flags: DiffFlags,
  context: CommandContext,
): CommandResult {
  const { signal } = context;
  await using images = new OpenedImages(context);
  const opened = [
    await images.layers(before, flags.platform),
    await images.layers(after, flags.platform),
  ] as const;
  await using views = await openViews(context, { images, opened }, { contents: true });
  const [a, b] = views.stacks;
  if (a === undefined || b === undefined) return 0;
  const changes = compareStacks(a, b, {
    times: flags.times,
    signal,
    ...(paths.length === 0 ? {} : { paths: paths.map(pathFilter) }),
  });
  const [old, now] = opened;
  const diff = renderDiff(changes, {
    before: sideOf(old),
    after: sideOf(now),
    json: context.settings.output === 'json',
  });
  await writeAll(context, diff.text());
  return flags.exitCode === true && diff.differs ? 1 : 0;
}

/** As the trees have paths: without slashes at the ends. */
function pathFilter(path: string): string {
  return toBytePath(path)
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .join('/');
}

function sideOf(opened: OpenedLayers): DiffSide {
  const { name } = opened;
  return opened.kind === 'layer'
    ? { name, layer: opened.layer.descriptor.digest }
    : { name, digest: opened.image.manifestDescriptor.digest };
}
