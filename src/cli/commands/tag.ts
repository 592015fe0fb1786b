import { pinImage, tagImage } from '../../engine/images/tag.js';
import { removeImage } from '../../engine/images/remove.js';
import { LandfallError } from '../../errors.js';
import { formatReference, parseReference, type Reference, repositoryName } from '../../spec/index.js';
import { resolveSource } from '../../transfer/copy/resolve-source.js';
import type { OpenContent } from '../../transfer/transports/destination.js';
import { parseImagePlace } from '../../transfer/transports/image-place.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { formatSize } from '../format/size.js';
import { printable } from '../format/table.js';
import { ImagePlaces } from '../images/image-places.js';
import { errorFacts } from '../output/render-error.js';
import { type Outcome, outcomeOf, reportFailures } from '../output/several.js';
import { withStore } from '../images/with-store.js';

/** One more name for an image of the store, or one more tag for an image at a registry. */
export async function tagCommand(source: string, name: string, context: CommandContext): CommandResult {
  const place = parseImagePlace(source);
  const tagged =
    place.kind === 'registry'
      ? await tagAtRegistry(source, remoteTag(place.reference, name), context)
      : await tagInStore(source, name, context);
  answer(context, tagged, () => `tagged ${printable(tagged.name)} (${tagged.digest})\n`);
  return 0;
}

interface Tagged {
  readonly name: string;
  readonly digest: string;
  readonly mediaType: string;
}

async function tagInStore(source: string, name: string, context: CommandContext): Promise<Tagged> {
  const record = await withStore(context, (store) => tagImage(store, source, name));
  const { digest, mediaType } = record.target;
  return { name: record.name, digest, mediaType };
}

/** Its manifest is pushed once more, under the new tag: what it names is there, or was left out on purpose. */
async function tagAtRegistry(source: string, to: Reference, context: CommandContext): Promise<Tagged> {
  const { signal } = context;
  const name = formatReference(to);
  await using places = new ImagePlaces(context);
  const { repository: from, from: tagOrDigest } = await places.source(source);
  const target = await resolveSource(from, tagOrDigest, { signal });
  const { repository, tag } = await places.destination(`docker://${name}`);
  const open: OpenContent = (offset = 0) => from.fetch(target, { offset, signal });
  await repository.put(target, open, { tag, root: true, signal });
  return { name, digest: target.digest, mediaType: target.mediaType };
}

/** `2`, or `docker://quay.io/team/app:2` where the image is in `quay.io/team/app`. */
function remoteTag({ registry, repository }: Reference, text: string): Reference {
  const home = `${registry}/${repository}`;
  const place = /[/:@]/.test(text) ? parseImagePlace(text) : undefined;
  if (place === undefined) return parseReference(`${home}:${text}`);
  if (place.kind === 'registry' && repositoryName(place.reference) === home) return place.reference;
  throw new LandfallError('INVALID_CONFIG', `${text} is no tag in ${home}`, {
    hint: 'Give the tag alone, or use landfall copy to another repository.',
  });
}

type Removed = Awaited<ReturnType<typeof removeImage>>;

export async function rmiCommand(names: readonly string[], context: CommandContext): CommandResult {
  const outcomes = await withStore(context, async (store) => {
    const done: Outcome<Removed>[] = [];
    // One after the other, so that what two images share is freed with the second.
    for (const name of names) done.push(await outcomeOf(name, () => removeImage(store, name)));
    return done;
  });
  answer(
    context,
    outcomes.map((outcome) =>
      'value' in outcome ? outcome.value : { name: outcome.subject, error: errorFacts(outcome.error) },
    ),
    () =>
      outcomes
        .flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
        .map(({ name, freed }) => `removed ${name} (freed ${formatSize(freed)})\n`)
        .join(''),
  );
  return reportFailures(outcomes, context);
}

type Pinned = Awaited<ReturnType<typeof pinImage>>;

export function pinCommand(names: readonly string[], context: CommandContext): CommandResult {
  return setPinned(names, true, context);
}

/** Of `pin` and of `unpin`. */
export async function setPinned(
  names: readonly string[],
  pinned: boolean,
  context: CommandContext,
): CommandResult {
  const outcomes = await withStore(context, async (store) => {
    const done: Outcome<Pinned>[] = [];
    for (const name of names) done.push(await outcomeOf(name, () => pinImage(store, name, pinned)));
    return done;
  });
  answer(
    context,
    outcomes.map((outcome) =>
      'value' in outcome
        ? { name: outcome.value.name, digest: outcome.value.target.digest, pinned: outcome.value.pinned }
        : { name: outcome.subject, error: errorFacts(outcome.error) },
    ),
    () =>
      outcomes
        .flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
        .map((image) => `${image.pinned ? 'pinned' : 'unpinned'} ${printable(image.name)}\n`)
        .join(''),
  );
  return reportFailures(outcomes, context);
}

export function unpinCommand(names: readonly string[], context: CommandContext): CommandResult {
  return setPinned(names, false, context);
}
