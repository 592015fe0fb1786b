import type { Platform, Reference } from '../../spec/index.js';

/**
 * Which platforms of an index come along:
 * - `all`: all that it lists, each of which the source must have;
 * - `present`: those that the source has;
 * - `one`: the manifest for this machine, or the only one that the source has, by itself and under its own
 *   digest;
 * - a list: those for these platforms. The index is kept whole, and what it lists besides is declared as left
 *   out.
 */
export type PlatformChoice = 'all' | 'present' | 'one' | readonly Platform[];

/** Which referrers come along with what they refer to, and what refers to them with them. */
export interface ReferrerChoice {
  /** Only those of these types; default: of any. What refers to a referrer is of any. */
  readonly artifactTypes?: readonly string[] | undefined;
  /** Whether tags by cosign's scheme count: `sha256-….sig`, `.att` and `.sbom`. Default true. */
  readonly cosignTags?: boolean | undefined;
}

/** What is to be copied from one repository to another. */
export interface CopyRequest {
  /** A tag or a digest of the source. */
  readonly from: string;
  /** The tag at the destination; without one it is there by its digest alone. */
  readonly tag?: string | undefined;
  readonly platforms: PlatformChoice;
  /** With a list of platforms: makes a new index of them alone, which has another digest. Default false. */
  readonly rewriteIndex?: boolean | undefined;
  /** Absent: none. */
  readonly referrers?: ReferrerChoice | undefined;
  /** What a signature policy is to know the image by, where its place may have no name for it. */
  readonly calledAs?: Reference | undefined;
}

/** Which parts of an image are copied, and what comes along with it. */
export type CopyChoice = Pick<CopyRequest, 'platforms' | 'rewriteIndex' | 'referrers'>;
