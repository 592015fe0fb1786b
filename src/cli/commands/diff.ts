import { fromBytePath, toBytePath } from '../../system/index.js';
import { compareStacks, type TreeChange, type TreeEntry } from '../../unpack/index.js';
import { writeAll } from '../output/bytes-output.js';
import type { CommandContext, CommandResult } from '../output/command-context.js';
import { jsonWithList, nodeInfo, pathInfo } from './tree-entry-info.js';
import { printable } from '../format/text.js';
import { OpenedImages, type OpenedLayers } from '../images/opened-images.js';
import { openViews } from '../images/open-views.js';
import { formatSize } from '../../spec/index.js';

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

/** One of the two things that are compared. */
export interface DiffSide {
  readonly name: string;
  /** Of an image's manifest. */
  readonly digest?: string;
  /** The digest of a layer. */
  readonly layer?: string;
}

/** The number of changes of a kind. */
interface Tally {
  count: number;
  /** Bytes of the files, as they are after the change; of what is removed, as they were before it. */
  bytes: number;
}

export interface RenderedDiff {
  /** To be taken once. */
  text(): AsyncGenerator<string, void, undefined>;
  /** Whether there was a difference; known when the text was taken. */
  readonly differs: boolean;
}

const LETTERS: Readonly<Record<TreeChange['kind'], string>> = { added: 'A', changed: 'M', removed: 'D' };

/** Changes as they come, a line each, and a summary; or all of them as one JSON object. */
export function renderDiff(
  changes: AsyncIterable<TreeChange>,
  o: { readonly before: DiffSide; readonly after: DiffSide; readonly json: boolean },
): RenderedDiff {
  const tallies = { added: emptyTally(), changed: emptyTally(), removed: emptyTally() };
  const counted = async function* (): AsyncGenerator<TreeChange, void, undefined> {
    for await (const change of changes) {
      const tally = tallies[change.kind];
      tally.count += 1;
      tally.bytes += sizeOf(change.kind === 'removed' ? change.before : change.after) ?? 0;
      yield change;
    }
  };
  return {
    text: async function* () {
      if (o.json) {
        const info = async function* (): AsyncGenerator<object, void, undefined> {
          for await (const change of counted()) yield changeInfo(change);
        };
        const sides = { before: o.before, after: o.after };
        yield* jsonWithList(sides, 'changes', info(), () => ({ summary: tallies }));
        return;
      }
      for await (const change of counted()) yield `${lineOf(change)}\n`;
      yield `${summaryOf(tallies)}\n`;
    },
    get differs() {
      return tallies.added.count + tallies.changed.count + tallies.removed.count > 0;
    },
  };
}

function emptyTally(): Tally {
  return { count: 0, bytes: 0 };
}

function lineOf(change: TreeChange): string {
  const path = printable(`/${fromBytePath(change.path)}`);
  const line = `${LETTERS[change.kind]}  ${path}`;
  switch (change.kind) {
    case 'added':
      return `${line}${sizeText(sizeOf(change.after))}`;
    case 'removed':
      return `${line}${sizeText(sizeOf(change.before))}`;
    case 'changed':
      return `${line}  ${change.aspects.join(', ')}${resized(sizeOf(change.before), sizeOf(change.after))}`;
  }
}

function sizeText(bytes: number | undefined): string {
  return bytes === undefined ? '' : `  ${formatSize(bytes)}`;
}

function resized(before: number | undefined, after: number | undefined): string {
  if (before === undefined || after === undefined || before === after) return sizeText(after);
  return `  ${formatSize(before)} -> ${formatSize(after)}`;
}

function summaryOf({ added, changed, removed }: Readonly<Record<TreeChange['kind'], Tally>>): string {
  const parts = [
    ...(added.count > 0 ? [`${added.count} added (${formatSize(added.bytes)})`] : []),
    ...(changed.count > 0 ? [`${changed.count} changed`] : []),
    ...(removed.count > 0 ? [`${removed.count} removed (${formatSize(removed.bytes)})`] : []),
  ];
  return parts.length === 0 ? 'no differences' : parts.join(', ');
}

function sizeOf({ node }: TreeEntry): number | undefined {
  return node.kind === 'file' && node.file.type === 'file' ? node.file.size : undefined;
}

/** The path stands once, outside. */
function changeInfo(change: TreeChange): object {
  return {
    change: change.kind,
    ...pathInfo(change.path),
    aspects: change.kind === 'changed' ? change.aspects : undefined,
    before: change.kind === 'added' ? undefined : nodeInfo(change.before),
    after: change.kind === 'removed' ? undefined : nodeInfo(change.after),
  };
}
