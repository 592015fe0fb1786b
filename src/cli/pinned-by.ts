import { LandfallError } from '../errors.js';
import { formatReference, parseReference } from '../spec/index.js';
import { messageOf } from './error-facts.js';
import { matchesGlob } from './glob.js';

/**
 * Whether a canonical name fits one of some patterns: a reference as people write it, or a glob over canonical names.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export function pinnedBy(patterns: readonly string[]): (name: string) => boolean {
  const globs = patterns.map((pattern) => {
    if (/[*?]/.test(pattern)) return pattern;
    try {
      return formatReference(parseReference(pattern, { defaultTag: true }));
    } catch (cause) {
      throw new LandfallError('INVALID_CONFIG', `--pin: ${messageOf(cause)}`, {
        cause,
        hint: "Write a reference, or a pattern such as 'registry.k8s.io/*'.",
      });
    }
  });
  return (name) => globs.some((glob) => matchesGlob(glob, name));
}
