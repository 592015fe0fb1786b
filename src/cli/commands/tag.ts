import { tagImage } from '../../engine/tag.js';
import { LandfallError } from '../../errors.js';
import { formatReference, parseReference, type Reference, repositoryName } from '../../spec/index.js';
import { resolveSource } from '../../transfer/copy.js';
import type { OpenContent } from '../../transfer/destination.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { printable } from '../format/printable.js';
import { parseImagePlace } from '../image-place.js';
import { ImagePlaces } from '../image-places.js';
import { withStore } from '../with-store.js';

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
