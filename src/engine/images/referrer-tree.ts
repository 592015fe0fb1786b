import { mapLimited } from '../../concurrency/index.js';
import { type Abortable, SpecError } from '../../errors.js';
import type { RemoteRepository } from '../../registry/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';

/** What refers to something, with what refers to it in turn. */
export interface Referrer {
  readonly descriptor: Descriptor;
  readonly referrers: readonly Referrer[];
}

export interface ReferrerTreeOptions extends Abortable {
  readonly repository: Pick<RemoteRepository, 'referrers'>;
  /** Only those of this type refer to the subject; what refers to them is of any. */
  readonly artifactType?: string;
  readonly onWarning?: (message: string) => void;
}

/** A signature of an attestation of an SBOM of an image has a depth of 3. */
const MAX_DEPTH = 8;
/** In all. An image that is signed daily for years has some 1,000. */
const MAX_REFERRERS = 10_000;
const CONCURRENCY = 4;

interface Growing extends Referrer {
  readonly referrers: Growing[];
}

/**
 * All that refers to a manifest, level by level, as its registry lists it. What was listed before is not
 * looked at again: content that names its subject by digest cannot go round, but a list can.
 *
 * Errors: those of {@link RemoteRepository.referrers}; LIMIT_EXCEEDED.
 */
export async function referrerTree(
  subject: Digest,
  options: ReferrerTreeOptions,
): Promise<readonly Referrer[]> {
  const { artifactType, onWarning } = options;
  const listed = new Set<Digest>([subject]);
  const budget = { left: MAX_REFERRERS };
  const roots = await listOf(subject, { ...options, budget, artifactType });
  let level = newOf(roots, listed);
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth === MAX_DEPTH) {
      onWarning?.(`what refers to referrers more than ${MAX_DEPTH} deep is not shown`);
      break;
    }
    const lists = await mapLimited(level, CONCURRENCY, (one) =>
      listOf(one.descriptor.digest, { ...options, budget, artifactType: undefined }),
    );
    for (const [at, one] of level.entries()) one.referrers.push(...(lists[at] ?? []));
    level = newOf(lists.flat(), listed);
  }
  return roots;
}

interface ListOptions extends Omit<ReferrerTreeOptions, 'artifactType'> {
  readonly artifactType: string | undefined;
  readonly budget: { left: number };
}

async function listOf(subject: Digest, options: ListOptions): Promise<Growing[]> {
  const { repository, artifactType, budget, signal } = options;
  const found: Growing[] = [];
  const filter = artifactType === undefined ? {} : { artifactType };
  for await (const descriptor of repository.referrers(subject, { ...filter, signal })) {
    budget.left -= 1;
    if (budget.left < 0) {
      throw new SpecError('LIMIT_EXCEEDED', `${subject} has more than ${MAX_REFERRERS} referrers`, {
        details: { digest: subject, limit: MAX_REFERRERS },
        hint: 'Choose some of them with --artifact-type.',
      });
    }
    found.push({ descriptor, referrers: [] });
  }
  return found;
}

/** Those that were not listed before. */
function newOf(referrers: readonly Growing[], listed: Set<Digest>): Growing[] {
  return referrers.filter(({ descriptor }) => {
    if (listed.has(descriptor.digest)) return false;
    listed.add(descriptor.digest);
    return true;
  });
}
