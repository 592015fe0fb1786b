import { type NamedEntry, rawNamesOf } from '../content/index.js';
import { formatReference, isDigest, parseReference, type Reference } from '../spec/index.js';

/** What an entry of an index is called: a word is a tag there, and no name of a repository that anybody has signed for. */
export function policyName({ target, reference }: NamedEntry): Reference | string {
  const [raw = target.digest] = rawNamesOf(target);
  return reference !== undefined && /[:/@]/.test(raw) && !isDigest(raw) ? reference : raw;
}

/** That of a name as it stands in the index, of several the first; else one that is the same reference. */
export function entryOf(name: string, entries: readonly NamedEntry[]): NamedEntry | undefined {
  const exact = entries.find(({ target }) => rawNamesOf(target).includes(name));
  if (exact !== undefined) return exact;
  const canonical = canonicalName(name);
  return entries.find(({ reference }) => reference !== undefined && formatReference(reference) === canonical);
}

/** Undefined for a text that is no reference. */
function canonicalName(name: string): string | undefined {
  try {
    return formatReference(parseReference(name, { defaultTag: true }));
  } catch {
    return undefined;
  }
}
