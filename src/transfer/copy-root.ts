import type { Descriptor } from '../spec/index.js';
import type { Admitted } from './copy-gate.js';
import type { ReferrerChoice } from './copy-request.js';

/** What is copied by itself: an image, or what refers to one. */
export interface CopyRoot {
  readonly target: Descriptor;
  readonly resolved: Descriptor;
  /** What the source calls it. */
  readonly from: string;
  readonly tag: string | undefined;
  readonly referrers: ReferrerChoice | undefined;
  /** Whether the destination is known to list it among the referrers of its subject. */
  readonly listed?: boolean;
  /** Whether it refers to something, and so is for no platform: it comes whole. */
  readonly isReferrer?: boolean;
  /** Of an image that was verified. */
  readonly admitted?: Admitted | undefined;
}
