import type { PulledSignature } from '../engine/pull-result.js';
import type { Descriptor } from '../spec/index.js';
import type { PutOutcome } from './destination.js';

/** What became of one manifest or blob. `planned`: it would have been put, in a run that only looks. */
export type ContentOutcome = PutOutcome | 'planned' | 'left-out';

export type ContentRole = 'index' | 'manifest' | 'config' | 'layer' | 'other';

export interface CopiedContent {
  readonly descriptor: Descriptor;
  readonly role: ContentRole;
  readonly outcome: ContentOutcome;
}

/** One image that was copied, or one referrer with what it consists of. */
export interface CopyReport {
  /** `docker://quay.io/team/app:1` */
  readonly source: string;
  readonly destination: string;
  /** What the destination has now. */
  readonly target: Descriptor;
  /** What the source's name stood for, where that is something else: an index of which one manifest was copied, or which was rewritten. */
  readonly resolved: Descriptor;
  /** `exists`: nothing had to be moved. `planned`: something would have been. */
  readonly outcome: 'copied' | 'exists' | 'planned';
  /**
   * All that was looked at, each once, children before their parents. What an index that the destination has already
   * consists of is not looked at again, and so is not here.
   */
  readonly contents: readonly CopiedContent[];
  /** What of the index was left out on purpose. */
  readonly omitted: readonly Descriptor[];
  /** What refers to it and was carried along, level by level; each with a report of its own. */
  readonly referrers: readonly CopyReport[];
  /** By whom it is signed; absent where no policy asks for signatures of it. */
  readonly signatures?: readonly PulledSignature[];
}

/** What happens while images are copied. */
export type CopyEvent =
  | {
      readonly type: 'image';
      readonly source: string;
      readonly destination: string;
      readonly descriptor: Descriptor;
    }
  | {
      readonly type: 'content';
      /** Of the image that it belongs to. */
      readonly destination: string;
      readonly descriptor: Descriptor;
      readonly role: ContentRole;
      readonly state: 'copying' | ContentOutcome;
      /** Of the content, that have been taken. */
      readonly bytes: number;
    }
  | { readonly type: 'warning'; readonly message: string };
