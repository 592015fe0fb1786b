import type { CopyEvent } from '../copy-report.js';
import type { PrunedTag, SyncedImage } from './sync-result.js';

/** What a sync tells on its way: besides that of the single copies how far the whole is. */
export type SyncEvent =
  | CopyEvent
  | {
      readonly type: 'planned';
      readonly destination: string;
      readonly images: number;
      readonly repositories: number;
    }
  | {
      readonly type: 'synced';
      readonly image: SyncedImage;
      /** Of all images of this destination, this one counted. */
      readonly done: number;
      readonly total: number;
    }
  | { readonly type: 'pruned'; readonly tag: PrunedTag };
