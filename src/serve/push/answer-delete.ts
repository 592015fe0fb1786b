import { type Answer, emptyAnswer } from '../answer.js';
import { RegistryFault } from '../registry-fault.js';
import type { Route } from '../route.js';
import type { ServeSource } from '../serve-source.js';
import type { Deletion, ServeTarget } from './serve-target.js';

/** Deletes a tag, or a manifest with all its tags (distribution-spec: Deleting tags, Deleting Manifests). */
export async function answerDeleteManifest(
  source: ServeSource,
  target: ServeTarget,
  route: Extract<Route, { kind: 'manifest' }>,
): Promise<Answer> {
  const { repository } = route;
  const deletion = await ('tag' in route
    ? target.deleteTag(repository, route.tag)
    : target.deleteManifest(repository, route.digest));
  if (deletion === 'unknown') {
    const known = (await source.tags(repository)) !== undefined;
    throw known
      ? new RegistryFault(404, 'MANIFEST_UNKNOWN', 'there is no such manifest here')
      : new RegistryFault(404, 'NAME_UNKNOWN', `there is no repository ${repository} here`);
  }
  return answerOf(deletion, 'an index here lists the manifest: delete that first');
}

/** Deletes a blob from a repository (distribution-spec: Deleting Blobs). */
export async function answerDeleteBlob(
  target: ServeTarget,
  { repository, digest }: Extract<Route, { kind: 'blob' }>,
): Promise<Answer> {
  const deletion = await target.deleteBlob(repository, digest);
  if (deletion === 'unknown') {
    throw new RegistryFault(404, 'BLOB_UNKNOWN', `there is no blob ${digest} here`);
  }
  return answerOf(deletion, 'an image here consists of the blob: delete that first');
}

/** What a mirror serves stays whole: nothing goes that something else consists of. */
function answerOf(deletion: Exclude<Deletion, 'unknown'>, whyNeeded: string): Answer {
  switch (deletion) {
    case 'deleted':
      return emptyAnswer(202);
    case 'needed':
      throw new RegistryFault(405, 'DENIED', whyNeeded, { Allow: 'GET, HEAD' });
    case 'elsewhere':
      throw new RegistryFault(405, 'DENIED', 'it is in a store that is only read here', {
        Allow: 'GET, HEAD',
      });
  }
}
