import type { CopiedContent, CopyReport } from './copy-report.js';

/** What became of an image, by what became of its parts and of what refers to it. @param there whether it was whole before */
export function copyOutcome(
  there: boolean,
  contents: readonly CopiedContent[],
  referrers: readonly CopyReport[],
): CopyReport['outcome'] {
  if (contents.some(({ outcome }) => outcome === 'planned')) return 'planned';
  if (referrers.some(({ outcome }) => outcome === 'planned')) return 'planned';
  return there && referrers.every(({ outcome }) => outcome === 'exists') ? 'exists' : 'copied';
}
