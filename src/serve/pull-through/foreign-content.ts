import { imagesWithBlob, isPushedTo } from '../../content/index.js';
import { discardedBlobs } from '../../engine/discard-layers.js';
import type { Store } from '../../engine/index.js';
import { type Digest, parseReference, repositoryName } from '../../spec/index.js';
import type { PolicyFile } from '../../trust/index.js';
import { RegistryFault } from '../registry-fault.js';
import type { Route } from '../route.js';
import { isOpenToAll } from './is-open-to-all.js';

export interface ForeignContentOptions {
  readonly store: Store;
  readonly policy: PolicyFile;
  /** Whether a repository is an upstream's. */
  readonly isUpstreams: (repository: string) => boolean;
}

/**
 * Keeps what came from an upstream from being had by its digest under a name that is no upstream's, for which no policy is asked: there it
 * is only where an image of that name has it.
 *
 * @param repository `registry/repository`, no upstream's
 * @throws RegistryFault 404
 */
export async function requireNotForeign(
  options: ForeignContentOptions,
  repository: string,
  route: Route,
): Promise<void> {
  if ((route.kind !== 'manifest' && route.kind !== 'blob') || !('digest' in route)) return;
  if (await isOpenToAll(options.policy)) return;
  if (!(await isForeign(options, repository, route.digest))) return;
  const code = route.kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN';
  throw new RegistryFault(404, code, `there is no ${route.kind} ${route.digest} in ${repository}`);
}

async function isForeign(
  { store, isUpstreams }: ForeignContentOptions,
  repository: string,
  digest: Digest,
): Promise<boolean> {
  const info = await store.content.info(digest);
  // What was dropped once it was unpacked is brought again from where it came.
  const source = (info ?? (await discardedBlobs(store).get(digest)))?.source;
  if (source === undefined || !isUpstreams(source)) return false;
  if (info !== undefined && isPushedTo(info, repository)) return false;
  const names = await imagesWithBlob(store.database, digest);
  return !names.some((name) => repositoryName(parseReference(name)) === repository);
}
