import type { Abortable } from '../errors.js';
import { formatReference, shortDigest } from '../spec/index.js';
import { rawNamesOf } from '../content/index.js';
import { policyName } from './entry-names.js';
import type { JudgedRoot } from './judge-images.js';
import type { LayoutPlace } from './layout-place.js';

/** All that a layout or an archive lists, each with the name that people know it by. */
export async function layoutRoots(place: LayoutPlace, o: Abortable = {}): Promise<JudgedRoot[]> {
  const repository = place.repository('');
  const entries = await place.entries(o);
  return entries.map((entry) => {
    const { target, reference } = entry;
    const [raw] = rawNamesOf(target);
    const canonical = raw === undefined || reference === undefined ? undefined : formatReference(reference);
    return {
      name: canonical ?? raw ?? shortDigest(target.digest),
      target,
      repository,
      governed: () => place.governed(policyName(entry)),
    };
  });
}
