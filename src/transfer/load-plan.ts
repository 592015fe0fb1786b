import { type NamedEntry, rawNamesOf } from '../content/index.js';
import { LandfallError } from '../errors.js';
import {
  type Descriptor,
  formatReference,
  parseReference,
  type Reference,
  repositoryName,
} from '../spec/index.js';

/** An image of an archive, and what it is to be called. */
export interface PlannedImage {
  readonly reference: Reference;
  readonly target: Descriptor;
  /** What the archive calls it; its digest where that is nothing. */
  readonly from: string;
}

export interface LoadPlan {
  readonly images: readonly PlannedImage[];
  /** What has no name, and refers to nothing that it would be found by. */
  readonly nameless: readonly Descriptor[];
}

/**
 * What the images of an archive are called where they go. Of two with one name the first counts.
 *
 * @param entries without what refers to something: that comes along with it
 * @param name for those that have none: of one image its name; without a tag also the repository that plain words are tags of
 * @throws {LandfallError} INVALID_CONFIG where a name is given for several
 */
export function planLoad(entries: readonly NamedEntry[], name: string | undefined): LoadPlan {
  const given = name === undefined ? undefined : parseReference(name);
  if (given?.digest !== undefined) {
    throw new LandfallError('INVALID_CONFIG', 'a digest is no name that could be given', {
      hint: 'Leave it out of --name.',
    });
  }
  const nameless = entries.filter(({ reference }) => reference === undefined);
  const isOnly = new Set(nameless.map(({ target }) => target.digest)).size === 1;
  const images = new Map<string, PlannedImage>();
  const left: Descriptor[] = [];
  for (const { reference, target } of entries) {
    const chosen = reference ?? (given === undefined ? undefined : nameFor(target, given, isOnly));
    if (chosen === undefined) {
      left.push(target);
      continue;
    }
    const canonical = formatReference(chosen);
    if (!images.has(canonical)) {
      images.set(canonical, { reference: chosen, target, from: rawNamesOf(target)[0] ?? target.digest });
    }
  }
  if (given !== undefined && left.length > 0) {
    throw new LandfallError('INVALID_CONFIG', `${left.length} images of the archive have no name`, {
      hint: 'Copy them one by one: landfall copy oci-archive:FILE:DIGEST NAME.',
      details: { digests: left.map(({ digest }) => digest) },
    });
  }
  return { images: [...images.values()], nameless: left };
}

/** Undefined for one of several that have no word of their own. */
function nameFor(target: Descriptor, given: Reference, isOnly: boolean): Reference | undefined {
  const [word] = rawNamesOf(target);
  const repository = repositoryName(given);
  if (isOnly) return parseReference(`${repository}:${given.tag ?? word ?? 'latest'}`);
  return word === undefined || given.tag !== undefined ? undefined : parseReference(`${repository}:${word}`);
}
