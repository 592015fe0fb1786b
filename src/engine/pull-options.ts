import type { Abortable } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import type { Platform, Reference } from '../spec/index.js';
import type { PolicyFile } from '../trust/index.js';
import type { PullBudget } from './pull-budget.js';
import type { PullEvent } from './pull-event.js';
import type { Store } from './store.js';

export interface PullOptions extends Abortable {
  /** Where the image goes. Closed by whoever opened it. */
  readonly store: Store;
  readonly registry: RegistryClient;
  /** A familiar or canonical name; `latest` when it has neither tag nor digest. */
  readonly reference: string | Reference;
  /** The platform to unpack; default: this machine's. */
  readonly platform?: Platform;
  /** Download every platform's blobs, and unpack the one above. Default false. */
  readonly allPlatforms?: boolean;
  /** Make snapshots of the layers. Default true. */
  readonly unpack?: boolean;
  /**
   * Verify every byte of a layer's blob before any of it is parsed; otherwise a layer is unpacked while it arrives, into a
   * directory that nobody sees before both digests were found right. Default false.
   */
  readonly verifyFirst?: boolean;
  /**
   * Drop the blob of each layer once it is a snapshot, as far as no other image needs it. The store remembers that they
   * were dropped, and later pulls of the image go without them too. Default false.
   */
  readonly discardLayers?: boolean;
  /**
   * Give the image no name: what was pulled stays for as long as somebody leases or holds it. Default false.
   */
  readonly nameless?: boolean;
  /** What says which signatures the image needs; without it, none. */
  readonly policy?: PolicyFile;
  /** What the image was asked for as, where the reference is a manifest that this leads to: by that name the policy knows it. */
  readonly askedAs?: Reference;
  /** What this pull shares with others. Without it, it has one of its own. */
  readonly budget?: PullBudget;
  /** Told what happens, at once and one event after the other. What it throws ends the pull. */
  readonly onEvent?: (event: PullEvent) => void;
}
