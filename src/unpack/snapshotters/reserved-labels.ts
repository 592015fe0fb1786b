import { LandfallError } from '../../errors.js';
import { parseDigest } from '../../spec/index.js';
import type { Labelled, Labels, SnapshotImage } from '../snapshotter.js';

/*
 * Labels below `landfall/` say what a snapshot is, so they are nobody else's to set.
 */
const RESERVED = 'landfall/';

/** What marks a layer that is being unpacked: such a row is no snapshot yet, for nobody but its owner. */
export const UNPACKING_LABEL = 'landfall/unpacking';

/** The other program that holds a snapshot; it stays until that one lets go of it. */
export const HELD_BY_LABEL = 'landfall/held-by';

/** That another program has changed the owners of a snapshot's content to those of a user namespace. */
const REMAPPED_LABEL = 'landfall/remapped';

/** With the name of an image behind it: that the image ends with this snapshot, and the digests that lead to it. */
const IMAGE_LABEL = 'landfall/image/';

/**
 * The labels of a new snapshot, with those that say who holds it and for which image it is.
 *
 * @throws LandfallError INVALID_CONFIG (one is reserved)
 */
export function labelsFor({ labels = {}, heldBy, image, remapped = false }: Labelled): Labels {
  const reserved = Object.keys(labels).find((label) => label.startsWith(RESERVED));
  if (reserved !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `the label ${reserved} is reserved`, {
      hint: `Choose a label that does not begin with ${RESERVED}.`,
    });
  }
  return {
    ...labels,
    ...(heldBy === undefined ? {} : { [HELD_BY_LABEL]: heldBy }),
    ...(remapped ? { [REMAPPED_LABEL]: '' } : {}),
    ...(image === undefined ? {} : { [`${IMAGE_LABEL}${image.name}`]: image.path.join(' ') }),
  };
}

/** Those of a snapshot's labels that stay whatever its other ones become. */
export function reservedIn(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => label.startsWith(RESERVED)));
}

/** Those of a snapshot's labels that somebody gave it. */
export function givenIn(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => !label.startsWith(RESERVED)));
}

/** The other program that holds a snapshot with these labels. */
export function holderIn(labels: Labels): string | undefined {
  return labels[HELD_BY_LABEL];
}

/** Whether the owners of a snapshot with these labels are those of a user namespace. */
export function isRemapped(labels: Labels): boolean {
  return REMAPPED_LABEL in labels;
}

/** The images that end with a snapshot with these labels. */
export function imagesIn(labels: Labels): readonly SnapshotImage[] {
  return Object.entries(labels)
    .filter(([label]) => label.startsWith(IMAGE_LABEL))
    .map(([label, path]) => ({
      name: label.slice(IMAGE_LABEL.length),
      path: path.split(' ').map((digest) => parseDigest(digest)),
    }));
}

/** The labels of a snapshot that nobody else holds any more; for which images somebody did is of no use to others. */
export function unheld(labels: Labels): Labels {
  return Object.fromEntries(
    Object.entries(labels).filter(([label]) => label !== HELD_BY_LABEL && !label.startsWith(IMAGE_LABEL)),
  );
}
