import { LandfallError } from '../../errors.js';
import type { Labelled, Labels } from '../snapshotter.js';

/*
 * Labels below `landfall/` say what a snapshot is, so they are nobody else's to set.
 */
const RESERVED = 'landfall/';

/** What marks a layer that is being unpacked: such a row is no snapshot yet, for nobody but its owner. */
export const UNPACKING_LABEL = 'landfall/unpacking';

/** The other program that holds a snapshot; it stays until that one lets go of it. */
export const HELD_BY_LABEL = 'landfall/held-by';

/**
 * The labels of a new snapshot, with the one that says who holds it.
 *
 * @throws LandfallError INVALID_CONFIG (one is reserved)
 */
export function labelsFor({ labels = {}, heldBy }: Labelled): Labels {
  const reserved = Object.keys(labels).find((label) => label.startsWith(RESERVED));
  if (reserved !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `the label ${reserved} is reserved`, {
      hint: `Choose a label that does not begin with ${RESERVED}.`,
    });
  }
  return heldBy === undefined ? labels : { ...labels, [HELD_BY_LABEL]: heldBy };
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

/** The labels of a snapshot that nobody else holds any more. */
export function unheld(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => label !== HELD_BY_LABEL));
}
