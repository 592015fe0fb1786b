import { LandfallError } from '../errors.js';
import { parsePlatform } from '../spec/index.js';
import type { CopyRequest, PlatformChoice } from '../transfer/copy-request.js';

/** What commands that copy images have in common. */
export interface CopyFlags {
  readonly all?: boolean;
  readonly platform?: readonly string[];
  readonly rewriteIndex?: boolean;
  readonly referrers?: boolean;
  readonly artifactType?: readonly string[];
  /** False for `--no-cosign-tags`. */
  readonly cosignTags?: boolean;
}

/**
 * What the options ask for.
 *
 * @param byDefault the platforms where no option names any
 * @throws {LandfallError} INVALID_CONFIG for options that exclude each other
 */
export function copyChoice(
  { all = false, platform, rewriteIndex = false, referrers, artifactType, cosignTags = true }: CopyFlags,
  byDefault: PlatformChoice,
): Pick<CopyRequest, 'platforms' | 'rewriteIndex' | 'referrers'> {
  if (all && platform !== undefined) {
    throw new LandfallError('INVALID_CONFIG', '--all and --platform exclude each other', {
      hint: 'Use one of them.',
    });
  }
  if (rewriteIndex && platform === undefined) {
    throw new LandfallError('INVALID_CONFIG', '--rewrite-index needs --platform', {
      hint: 'Name the platforms that the new index is to have.',
    });
  }
  const wantsReferrers = referrers ?? artifactType !== undefined;
  return {
    platforms: platform?.map((name) => parsePlatform(name)) ?? (all ? 'all' : byDefault),
    rewriteIndex,
    ...(wantsReferrers
      ? { referrers: { cosignTags, ...(artifactType === undefined ? {} : { artifactTypes: artifactType }) } }
      : {}),
  };
}
