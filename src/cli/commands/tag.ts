import { labelImage, pinImage, removeImage, tagImage } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import {
  type Digest,
  formatReference,
  formatSize,
  parseReference,
  quoted,
  type Reference,
  repositoryName,
  shortDigest,
} from '../../spec/index.js';
import { resolveSource } from '../../transfer/copy/resolve-source.js';
import type { OpenContent } from '../../transfer/transports/destination.js';
import { parseTransport } from '../../transfer/transports/image-transport.js';
import { answer, type CommandContext, type CommandResult, errorInfo } from '../output/command-context.js';
import { printable } from '../format/text.js';
import { CommandTransports } from '../images/command-transports.js';
import { type Outcome, outcomeOf, reportFailures, valuesOf } from '../output/several.js';
import { withStore } from '../images/with-store.js';
import { invalidConfig } from '../config/settings.js';

/** One more name for an image of the store, or one more tag for an image at a registry. */
export async function tagCommand(source: string, name: string, context: CommandContext): CommandResult {
  const transport = parseTransport(source);
  const tagged =
    transport.kind === 'registry'
      ? await tagAtRegistry(source, remoteTag(transport.reference, name), context)
      : await tagInStore(source, name, context);
  answer(context, tagged, () => `tagged ${printable(tagged.name)} (${shortDigest(tagged.digest)})\n`);
  return 0;
}

interface Tagged {
  readonly name: string;
  readonly digest: Digest;
  readonly mediaType: string;
}

async function tagInStore(source: string, name: string, context: CommandContext): Promise<Tagged> {
  const record = await withStore(context, (store) => tagImage(store, source, name));
  const { digest, mediaType } = record.target;
  return { name: record.name, digest, mediaType };
}

/**
 * Its manifest is pushed once more, under the new tag: what it names is there, or was left out on purpose.
 */
async function tagAtRegistry(source: string, to: Reference, context: CommandContext): Promise<Tagged> {
  const { signal } = context;
  const name = formatReference(to);
  await using transports = new CommandTransports(context);
  const { repository: from, from: tagOrDigest } = await transports.source(source);
  const target = await resolveSource(from, tagOrDigest, { signal });
  const { repository, tag } = await transports.destination(`docker://${name}`);
  const open: OpenContent = (offset = 0) => from.fetch(target, { offset, signal });
  await repository.put(target, open, { tag, root: true, signal });
  return { name, digest: target.digest, mediaType: target.mediaType };
}

/** `2`, or `docker://quay.io/team/app:2` where the image is in `quay.io/team/app`. */
function remoteTag({ registry, repository }: Reference, text: string): Reference {
  const home = `${registry}/${repository}`;
  const transport = /[/:@]/.test(text) ? parseTransport(text) : undefined;
  if (transport === undefined) return parseReference(`${home}:${text}`);
  if (transport.kind === 'registry' && repositoryName(transport.reference) === home)
    return transport.reference;
  throw invalidConfig(`${text} is no tag in ${home}`, {
    hint: 'Give the tag alone, or use landfall copy to another repository.',
  });
}

export function rmiCommand(names: readonly string[], context: CommandContext): CommandResult {
  // Content that two images share is freed with the second.
  return eachInStore(names, context, {
    act: (store, name) => removeImage(store, name),
    json: (removed) => removed,
    text: ({ name, freed }) => `removed ${name} (freed ${formatSize(freed)})\n`,
  });
}

export function pinCommand(names: readonly string[], context: CommandContext): CommandResult {
  return setPinned(names, true, context);
}

export function unpinCommand(names: readonly string[], context: CommandContext): CommandResult {
  return setPinned(names, false, context);
}

function setPinned(names: readonly string[], wanted: boolean, context: CommandContext): CommandResult {
  return eachInStore(names, context, {
    act: async (store, name) => {
      const pinnedBy = wanted ? undefined : await store.daemonPins.of();
      const record = await pinImage(store, name, wanted);
      for (const daemon of pinnedBy?.(record.name) ?? []) {
        context.log.warn(
          `${printable(record.name)}: the daemon at unix://${daemon} pins it too, and again whenever it runs: take it off its --pre-pull list or --pin`,
        );
      }
      return record;
    },
    json: ({ name, target, pinned }) => ({ name, digest: target.digest, pinned }),
    text: ({ name, pinned }) => `${pinned ? 'pinned' : 'unpinned'} ${printable(name)}\n`,
  });
}

/** Sets labels of a name (`KEY=VALUE`), and takes others away (`KEY=`), as `ctr images label` does. */
export async function labelCommand(
  name: string,
  labels: readonly string[],
  context: CommandContext,
): CommandResult {
  const changes = Object.fromEntries(labels.map(labelChange));
  const record = await withStore(context, (store) => labelImage(store, name, changes));
  const json = { name: record.name, digest: record.target.digest, labels: record.labels };
  answer(context, json, () =>
    [printable(record.name), ...Object.entries(record.labels).map(([key, value]) => `  ${key}=${value}`)]
      .map((line) => `${printable(line)}\n`)
      .join(''),
  );
  return 0;
}

/** Null takes the label away. */
function labelChange(text: string): [key: string, value: string | null] {
  const [, key, value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key !== undefined) return [key, value === '' ? null : value];
  throw invalidConfig(`${quoted(text)} is not a label`, {
    hint: 'Write KEY=VALUE, or KEY= to take a label away.',
  });
}

/** An action on each of several images, and its answer. */
interface EachInStore<T> {
  readonly act: (store: Store, name: string) => Promise<T>;
  readonly json: (done: T) => object;
  readonly text: (done: T) => string;
}

/** One after the other, whatever becomes of one. */
async function eachInStore<T>(
  names: readonly string[],
  context: CommandContext,
  { act, json, text }: EachInStore<T>,
): CommandResult {
  const outcomes = await withStore(context, async (store) => {
    const done: Outcome<T>[] = [];
    for (const name of names) done.push(await outcomeOf(name, () => act(store, name)));
    return done;
  });
  const info = outcomes.map((outcome) =>
    'value' in outcome ? json(outcome.value) : { name: outcome.subject, error: errorInfo(outcome.error) },
  );
  answer(context, info, () => valuesOf(outcomes).map(text).join(''));
  return reportFailures(outcomes, context);
}
