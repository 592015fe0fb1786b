import { countOf } from '../format/text.js';
import { formatSpan } from './svg.js';
import { decisivePull, lengthOf, longestStep, stepWords, type TimedPull, type Timeline } from './timeline.js';

export interface Headline {
  /** One sentence that says where the time went. */
  readonly sentence: string;
  /** Why it ended early, where it did. */
  readonly reason: string | undefined;
}

/** `2.3 s, of which 1.8 s were spent downloading layer 3`. */
export function timelineHeadline({ pulls, end }: Timeline): Headline {
  const failed = pulls.filter(({ outcome }) => outcome !== 'done');
  const last = decisivePull(pulls);
  const several = pulls.length > 1;
  const took = formatSpan(end);
  const longest = last === undefined ? undefined : longestStep(last);
  const of = several && last !== undefined ? ` of ${familiarName(last.reference)}` : '';
  const spent =
    longest === undefined
      ? ''
      : `, of which ${formatSpan(lengthOf(longest))} were spent ${stepWords(longest)}${of}`;
  return {
    sentence: `${opening(pulls, failed, took)}${spent}`,
    reason: failed.find(({ error }) => error !== undefined)?.error,
  };
}

function opening(pulls: readonly TimedPull[], failed: readonly TimedPull[], took: string): string {
  const what = pulls.length === 1 ? '' : `${countOf(pulls.length, 'image')} in `;
  const isInterrupted = failed.some(({ outcome }) => outcome === 'interrupted');
  if (failed.length === 0) return `${what}${took}`;
  if (isInterrupted) return `Interrupted after ${took}`;
  if (failed.length === pulls.length) return `Failed after ${took}`;
  return `${failed.length} of ${countOf(pulls.length, 'image')} failed; ${took}`;
}

/** The end of a name, by which people know it: `debian:trixie`; of a digest its beginning. */
export function familiarName(reference: string): string {
  return reference
    .slice(reference.lastIndexOf('/') + 1)
    .replace(/@([a-z0-9]+:[0-9a-f]{12})[0-9a-f]+$/, '@$1…');
}
