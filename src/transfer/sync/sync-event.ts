import type { CopyEvent } from '../copy-report.js';
import type { PrunedTag, SyncedImage } from './sync-result.js';

/** It is known what a destination is to have; told before anything moves there. */
export interface SyncPlanned {
  readonly type: 'planned';
  /** `docker://mirror.lan`, `oci:/srv/layout` */
  readonly destination: string;
  /** How many. */
  readonly images: number;
  /** How many of the destination's they go to. */
  readonly repositories: number;
}

/** An image has ended, well or not. */
export interface SyncImageEnded {
  readonly type: 'synced';
  /** What became of it. */
  readonly image: SyncedImage;
  /** Of all images of this destination, this one counted. */
  readonly done: number;
  /** Images of this destination. */
  readonly total: number;
}

/** A tag was deleted, or not, that the file asks for no more. */
export interface SyncTagPruned {
  readonly type: 'pruned';
  /** What became of it. */
  readonly tag: PrunedTag;
}

/** What a sync tells on its way: besides that of the single copies how far the whole is. */
export type SyncEvent = CopyEvent | SyncPlanned | SyncImageEnded | SyncTagPruned;
