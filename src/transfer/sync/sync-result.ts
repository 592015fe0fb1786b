import type { PulledSignature } from '../../engine/pull-result.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import type { ContentOutcome, CopyReport } from '../copy-report.js';

/** `unchanged`: an earlier report says that the far side has it. */
export type SyncOutcome = 'copied' | 'exists' | 'planned' | 'unchanged' | 'failed';

/** One manifest or blob of an image, its referrers' among them. */
export interface SyncedContent {
  /** Of it. */
  readonly digest: Digest;
  /** What it is. */
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /** What became of it. `known`: an earlier report says that the far side has it. */
  readonly outcome: ContentOutcome | 'known';
}

/** What became of one image at one destination. */
export interface SyncedImage {
  /** `docker://quay.io/team/app:1` */
  readonly source: string;
  /** Where it is to be. */
  readonly destination: string;
  /** What the destination calls it: `mirror.lan/team/app:1`, `mirror.lan/team/app@sha256:…`. */
  readonly name: string;
  /** What the destination has; absent where that is not known. */
  readonly target?: Descriptor | undefined;
  /** What became of it. */
  readonly outcome: SyncOutcome;
  /** Bytes that were moved, or in a run that only looks, would be. */
  readonly bytes: number;
  /** All that was looked at. */
  readonly contents: readonly SyncedContent[];
  /** What of its index was left out on purpose. */
  readonly omitted: readonly Digest[];
  /** What refers to it and came along. */
  readonly referrers: readonly {
    /** Of the manifest. */
    readonly digest: Digest;
    /** Of the manifest. */
    readonly mediaType: string;
  }[];
  /** By whom it is signed; absent where no policy asks for signatures of it. */
  readonly signatures?: readonly PulledSignature[];
  /** Why it failed. */
  readonly error?: unknown;
}

/** What became of one tag that the file asks for no more. */
export interface PrunedTag {
  /** `docker://mirror.lan/team/app:old` */
  readonly destination: string;
  /** What it named. */
  readonly digest: Digest | undefined;
  /** `kept`: the place could only delete it together with something that is to stay. */
  readonly outcome: 'planned' | 'deleted' | 'kept' | 'failed';
  /** Why it failed. */
  readonly error?: unknown;
}

/** A repository at a destination in which nothing was deleted, and why. */
export interface UnprunedRepository {
  /** `docker://mirror.lan/team/app` */
  readonly destination: string;
  /** In words. */
  readonly reason: string;
}

/** What failed beside single images. */
export interface SyncFailure {
  /** `docker://quay.io/team/app`, `oci-archive:/media/images.tar` */
  readonly subject: string;
  /** Why. */
  readonly error: unknown;
}

/** What became of all that a mirror file asks for. */
export interface SyncResult {
  /** Each at each destination. */
  readonly images: readonly SyncedImage[];
  /** Tags that the file asks for no more. */
  readonly pruned: readonly PrunedTag[];
  /** Where nothing was deleted. */
  readonly unpruned: readonly UnprunedRepository[];
  /** What failed beside single images: a source or repository that could not be listed, a destination that could not be written. */
  readonly failures: readonly SyncFailure[];
}

/**
 * An image's copy as the result tells of it.
 *
 * @param without what the far side had before, and so was left out
 */
export function syncedImage(
  names: Pick<SyncedImage, 'source' | 'destination' | 'name'>,
  report: CopyReport,
  without: ReadonlySet<Digest>,
): SyncedImage {
  const reports = [report, ...reportsBelow(report)];
  const contents = contentsOf(reports, without);
  const moved = report.outcome === 'planned' ? 'planned' : 'copied';
  return {
    ...names,
    target: report.target,
    outcome: report.outcome,
    bytes: contents.reduce((sum, { outcome, size }) => sum + (outcome === moved ? size : 0), 0),
    contents,
    omitted: report.omitted.map(({ digest }) => digest).filter((digest) => !without.has(digest)),
    referrers: reportsBelow(report).map(({ target: { digest, mediaType } }) => ({ digest, mediaType })),
    ...(report.signatures === undefined ? {} : { signatures: report.signatures }),
  };
}

/** Each once: what several platforms share counts where it was moved. */
function contentsOf(reports: readonly CopyReport[], without: ReadonlySet<Digest>): SyncedContent[] {
  const contents = new Map<Digest, SyncedContent>();
  for (const { contents: looked, omitted } of reports) {
    for (const { descriptor, outcome } of looked) {
      const { digest, mediaType, size } = descriptor;
      const known = contents.get(digest);
      if (known === undefined || known.outcome === 'exists')
        contents.set(digest, { digest, mediaType, size, outcome });
    }
    for (const { digest, mediaType, size } of omitted) {
      if (without.has(digest) && !contents.has(digest))
        contents.set(digest, { digest, mediaType, size, outcome: 'left-out' });
    }
  }
  return [...contents.values()];
}

function reportsBelow(report: CopyReport): CopyReport[] {
  return report.referrers.flatMap((below) => [below, ...reportsBelow(below)]);
}
