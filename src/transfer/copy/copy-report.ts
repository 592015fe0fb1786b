import type { Descriptor } from '../../spec/index.js';
import type { PulledSignature } from '../../engine/trust/signature-sources.js';
import type { PutOutcome } from '../transports/destination.js';

/** What became of one manifest or blob. `planned`: it would have been put, in a run that only looks. */
export type ContentOutcome = PutOutcome | 'planned' | 'left-out';

/** What content is in its image. */
export type ContentRole = 'index' | 'manifest' | 'config' | 'layer' | 'other';

/** One manifest or blob that a copy has looked at. */
export interface CopiedContent {
  /** Which one. */
  readonly descriptor: Descriptor;
  /** What it is in its image. */
  readonly role: ContentRole;
  /** What became of it. */
  readonly outcome: ContentOutcome;
}

/** One image that was copied, or one referrer with what it consists of. */
export interface CopyReport {
  /** `docker://quay.io/team/app:1` */
  readonly source: string;
  /** `docker://mirror.lan/team/app:1` */
  readonly destination: string;
  /** What the destination has now. */
  readonly target: Descriptor;
  /**
   * What the source's name stood for, where that is something else: an index of which one manifest was
   * copied, or which was rewritten.
   */
  readonly resolved: Descriptor;
  /** `exists`: nothing had to be moved. `planned`: something would have been. */
  readonly outcome: 'copied' | 'exists' | 'planned';
  /**
   * All that was looked at, each once, children before their parents. What an index that the destination has
   * already consists of is not looked at again, and so is not here.
   */
  readonly contents: readonly CopiedContent[];
  /** What of the index was left out on purpose. */
  readonly omitted: readonly Descriptor[];
  /** What refers to it and was carried along, level by level; each with a report of its own. */
  readonly referrers: readonly CopyReport[];
  /** Whether what refers to it was not asked for; absent for what refers to an image itself. */
  readonly referrersLeftOut?: boolean | undefined;
  /** By whom it is signed; absent where no policy asks for signatures of it. */
  readonly signatures?: readonly PulledSignature[];
}

/** An image is about to be copied. */
export interface CopyBegun {
  readonly type: 'image';
  /** `docker://quay.io/team/app:1` */
  readonly source: string;
  /** `docker://mirror.lan/team/app:1` */
  readonly destination: string;
  /** Of its index or manifest. */
  readonly descriptor: Descriptor;
}

/** A manifest or blob on its way. */
export interface CopyContent {
  readonly type: 'content';
  /** Of the image that it belongs to. */
  readonly destination: string;
  /** Which one. */
  readonly descriptor: Descriptor;
  /** What it is in its image. */
  readonly role: ContentRole;
  /** How far it has come, or what became of it. */
  readonly state: 'copying' | ContentOutcome;
  /** Of the content, that have been taken. */
  readonly bytes: number;
}

/** What people should know, and stops nothing. */
export interface CopyWarning {
  readonly type: 'warning';
  /** In words. */
  readonly message: string;
}

/** What happens while images are copied; branch on `type`. */
export type CopyEvent = CopyBegun | CopyContent | CopyWarning;

/**
 * What became of an image, by what became of its parts and of what refers to it. @param there whether it was
 * whole before
 */
export function copyOutcome(
  there: boolean,
  contents: readonly CopiedContent[],
  referrers: readonly CopyReport[],
): CopyReport['outcome'] {
  if (contents.some(({ outcome }) => outcome === 'planned')) return 'planned';
  if (referrers.some(({ outcome }) => outcome === 'planned')) return 'planned';
  return there && referrers.every(({ outcome }) => outcome === 'exists') ? 'exists' : 'copied';
}
